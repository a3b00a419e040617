"""The fleet's secrets on the control machine: made once, kept 0600 in a 0700 folder, never printed.

The store speaks mutual TLS instead of using a password, because Ray would put a password on the command
line of its GCS, where `ps` shows it to everybody.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from depot.certificates import Authority, certificate_pair, is_current, leaf, new_authority

# Clients of the door trust what this one signs.
DOOR_CA = "door-ca.pem"
DOOR_CA_KEY = "door-ca-key.pem"
DOOR = "door"
RAY_TOKEN = "ray-token"


@dataclass(frozen=True)
class Secrets:
    """Contents of the secret files, as text."""

    ray_token: str
    store_ca: str
    store_cert: str
    store_key: str


@dataclass(frozen=True)
class DoorFiles:
    """What a door shows its clients, as PEM text."""

    cert: str
    key: str = field(repr=False)


def fleet_secrets(folder: Path) -> Secrets:
    """Read the fleet's secrets, making those that do not exist yet.

    Raises OSError when the folder cannot be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = folder / RAY_TOKEN
    if not token.exists():
        write_secret(token, secrets.token_hex(32))
    names = ("store-ca.pem", "store-cert.pem", "store-key.pem")
    if not all((folder / name).exists() for name in names):
        pair = certificate_pair("raylab store", ["127.0.0.1"])
        for name, text in zip(names, (pair.ca, pair.cert, pair.key), strict=True):
            write_secret(folder / name, text)
    return Secrets(token.read_text().strip(), *((folder / name).read_text() for name in names))


def door_files(folder: Path, fleet: str, mac: str, names: Sequence[str]) -> DoorFiles:
    """The certificate of one Mac's door, for these host names and addresses, and its key.

    Made anew when the names are others, when its end is near, or when the fleet's CA is another one; which is made by
    the first run. `fleet` and `mac` are names. Raises OSError when the folder cannot be read or written.
    """
    (folder / DOOR).mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(folder, fleet)
    # pyinfra's name of a Mac may have a slash.
    cert, key = (folder / DOOR / f"{mac.replace('/', '-')}{end}" for end in (".pem", "-key.pem"))
    if not (cert.exists() and key.exists() and is_current(cert.read_text(), authority, names)):
        made = leaf(authority, names)
        # The key first: a certificate without it would be taken for whole.
        cert.unlink(missing_ok=True)
        write_secret(key, made.key)
        write_secret(cert, made.cert)
    return DoorFiles(cert.read_text(), key.read_text())


def _authority(folder: Path, fleet: str) -> Authority:
    ca, key = folder / DOOR_CA, folder / DOOR_CA_KEY
    if not (ca.exists() and key.exists()):
        made = new_authority(f"raylab {fleet}"[:60])
        ca.unlink(missing_ok=True)
        write_secret(key, made.key)
        write_secret(ca, made.ca)
    return Authority(ca.read_text(), key.read_text())


def write_secret(path: Path, text: str) -> None:
    """Write a file 0600 under a temporary name, then rename: a secret is never half there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)
