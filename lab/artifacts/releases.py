"""More releases than the one that the simulated Macs run: what they are upgraded to, and what they must survive."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from pathlib import Path

# One real wheel in another version. It is what `pip download idna==3.19` brings.
NEXT = "idna==3.19 --hash=sha256:815e7be7a7806d54abb586dc943addc79e8b2ee16915059658cbeff4b1b43bf4"
# An engine that does not start.
BROKEN = "mlx_lm-0.31.4-py3-none-any.whl"
# The lock of conda packages with another Python, where this machine has one.
OTHER_PYTHON = "other-python.lock"
_MADE = (2026, 1, 1, 0, 0, 0)


def write_releases(locks: Path) -> None:
    """`locks-next`, `locks-broken` and, where this machine has another Python, `locks-python` beside `locks`."""
    wheels = (locks / "wheels.lock").read_text()
    wheel = _broken_wheel(locks.parent)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    broken = f"mlx-lm @ {wheel.as_uri()} --hash=sha256:{digest}"
    for name, project, line in (("locks-next", "idna", NEXT), ("locks-broken", "mlx-lm", broken)):
        (_copied(locks, name) / "wheels.lock").write_text(re.sub(rf"(?m)^{project}==.*$", line, wheels))
    if (lock := locks.with_name(OTHER_PYTHON)).exists():
        shutil.copyfile(lock, _copied(locks, "locks-python") / "conda.lock")


def _copied(locks: Path, name: str) -> Path:
    folder = locks.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(locks, folder)


def _broken_wheel(folder: Path) -> Path:
    """mlx-lm in a version that says at its first import that it cannot."""
    path = folder / BROKEN
    name, version = BROKEN.split("-")[:2]
    about = f"{name}-{version}.dist-info"
    members = {
        f"{name}/__init__.py": 'raise ImportError("this build of mlx-lm was made not to start")\n',
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: mlx-lm\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: raylab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{about}/RECORD"] = "".join(f"{member},,\n" for member in [*members, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(zipfile.ZipInfo(member, _MADE), text)
    return path
