"""API keys: made once on the control machine, a file each, never printed. The Macs get hashes of them.

A key is base64 of `name:secret`, which Caddy can check as a name with its password.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

import bcrypt

from depot.secrets import write_secret
from fleet.gateway import KeyHash

# Below `secrets`.
FOLDER = "api-keys"
# Characters of a secret, 6 bits each: 258 bits at least. Nobody guesses that, however fast the hash is.
SECRET_CHARACTERS = 43
_ROUNDS = 4
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def key_path(folder: Path, name: str) -> Path:
    """The file of one key, in the folder of the fleet's secrets."""
    return folder / FOLDER / name


def key_hashes(folder: Path, names: Sequence[str]) -> tuple[KeyHash, ...]:
    """What the Macs get of these keys; those that do not exist yet are made. The same every time.

    Raises OSError when a file cannot be read or written, ValueError for one that is no key of its name.
    """
    folder = folder / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hashes = []
    for name in names:
        path = folder / name
        if not path.exists():
            write_secret(path, _new(name))
        hashes.append(_hash(name, path))
    return tuple(hashes)


def _new(name: str) -> str:
    """A key of letters and digits alone: base64 pads nothing when three divide the length."""
    length = SECRET_CHARACTERS + -(len(name) + 1 + SECRET_CHARACTERS) % 3
    return base64.b64encode(f"{name}:{secrets.token_urlsafe(length)[:length]}".encode()).decode()


def _hash(name: str, path: Path) -> KeyHash:
    key = path.read_text(encoding="ascii").strip()
    try:
        owner, _, secret = base64.b64decode(key, validate=True).decode("ascii").partition(":")
    except ValueError:
        owner, secret = "", ""
    if owner != name or len(secret) < SECRET_CHARACTERS:
        raise ValueError(f"{path} holds no key of this name. Remove it: the next run makes a new one")
    # The salt follows from the secret, so that the next run computes the same hash and changes nothing.
    salt = base64.b64encode(hashlib.sha256(b"raylab salt " + secret.encode()).digest()[:16])[:22]
    settings = b"$2b$%02d$" % _ROUNDS + salt.translate(bytes.maketrans(_STANDARD, _BCRYPT))
    return KeyHash(name, key[: (len(name) + 1) * 8 // 6], bcrypt.hashpw(secret.encode(), settings).decode())
