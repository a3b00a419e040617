"""More releases than the one that the simulated Macs run: what they are upgraded to, and what they must survive."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

# One real wheel in another version. It is what `pip download idna==3.19` brings.
NEXT = "idna==3.19 --hash=sha256:815e7be7a7806d54abb586dc943addc79e8b2ee16915059658cbeff4b1b43bf4"
# An engine that does not start, and one that starts and answers nobody.
BROKEN = "mlx_lm-0.31.4-py3-none-any.whl"
MUTE = "raylab_mute-1.0-py3-none-any.whl"
# The lock of conda packages with another Python, where this machine has one.
OTHER_PYTHON = "other-python.lock"
_MADE = (2026, 1, 1, 0, 0, 0)


def write_releases(locks: Path) -> None:
    """`locks-next`, -broken, -mute and, where this machine has another Python, `locks-python` beside `locks`."""
    wheels = (locks / "wheels.lock").read_text()
    refuses = 'raise ImportError("this build of mlx-lm was made not to start")\n'
    broken = _wheel(locks.with_name(BROKEN), {"mlx_lm/__init__.py": refuses})
    fails = {
        "raylab_mute.py": Path(__file__).with_name("mute.py").read_text(),
        "raylab_mute.pth": "import raylab_mute\n",
    }
    for name, text in {
        "locks-next": re.sub(r"(?m)^idna==.*$", NEXT, wheels),
        "locks-broken": re.sub(r"(?m)^mlx-lm==.*$", broken, wheels),
        "locks-mute": f"{wheels.rstrip()}\n{_wheel(locks.with_name(MUTE), fails)}\n",
    }.items():
        (_copied(locks, name) / "wheels.lock").write_text(text)
    if (lock := locks.with_name(OTHER_PYTHON)).exists():
        shutil.copyfile(lock, _copied(locks, "locks-python") / "conda.lock")


def _copied(locks: Path, name: str) -> Path:
    folder = locks.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(locks, folder)


def _wheel(path: Path, members: Mapping[str, str]) -> str:
    """Write a wheel with these files; its line in a lock."""
    project, version = path.name.split("-")[:2]
    name, about = project.replace("_", "-"), f"{project}-{version}.dist-info"
    contents = {
        **members,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: raylab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{about}/RECORD"] = "".join(f"{member},,\n" for member in [*contents, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in contents.items():
            wheel.writestr(zipfile.ZipInfo(member, _MADE), text)
    return f"{name} @ {path.as_uri()} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
