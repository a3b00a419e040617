"""The fleet's secrets on the control machine: made once, kept 0600 in a 0700 folder, never printed.

The store speaks mutual TLS instead of using a password, because Ray would put a password on the command
line of its GCS, where `ps` shows it to everybody.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from depot.certificates import certificate_pair


@dataclass(frozen=True)
class Secrets:
    """Contents of the secret files, as text."""

    ray_token: str
    store_ca: str
    store_cert: str
    store_key: str


def fleet_secrets(folder: Path) -> Secrets:
    """Read the fleet's secrets, making those that do not exist yet.

    Raises OSError when the folder cannot be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = folder / "ray-token"
    if not token.exists():
        _write(token, secrets.token_hex(32))
    names = ("store-ca.pem", "store-cert.pem", "store-key.pem")
    if not all((folder / name).exists() for name in names):
        pair = certificate_pair("raylab store", ["127.0.0.1"])
        for name, text in zip(names, (pair.ca, pair.cert, pair.key), strict=True):
            _write(folder / name, text)
    return Secrets(token.read_text().strip(), *((folder / name).read_text() for name in names))


def _write(path: Path, text: str) -> None:
    """Write a file 0600 under a temporary name, then rename: a secret is never half there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)
