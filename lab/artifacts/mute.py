"""An engine that starts, and fails at its first request: of a wheel, loaded by every Python."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _Mute(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != "mlx_lm.generate":
            return None
        spec = PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        assert spec
        assert spec.loader
        whole = spec.loader.exec_module

        def load(module: ModuleType) -> None:
            whole(module)
            module.BatchGenerator.next = _fail

        spec.loader.exec_module = load  # type: ignore[method-assign]
        return spec


def _fail(generator: object) -> None:
    raise RuntimeError("this engine was made to answer nobody")


sys.meta_path.insert(0, _Mute())
