"""The door on every Mac: certificates, API keys, and Caddy in front of every Mac's Serve."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gevent.lock import RLock
from pyinfra.api.deploy import deploy
from pyinfra.context import host

from depot.keys import key_hashes, key_path
from depot.secrets import DOOR_CA, DoorFiles, door_files
from fleet import gateway, layout
from fleet.jobs import gateway_job
from fleet.settings import Fleet, Mac
from macos.facts.running import Running
from macos.operations import files, launchd
from macos.operations import gateway as caddy
from macos.operations.files import Directory, TextFile
from roles.context import everyone, the_fleet, the_release, this_mac
from roles.jobs import turn_over

DOOR_TIMEOUT_S = 30
# OpenSSL's number for a certificate whose time is over: X509_V_ERR_CERT_HAS_EXPIRED.
EXPIRED = 10
# The parts of all Macs make the same files.
_making = RLock()


@deploy("Door")
def door() -> None:
    """Caddy with this Mac's configuration. A new one is loaded while requests go on; nothing restarts for it."""
    mac = this_mac()
    shown = certificate(mac)
    reads = [shown.cert, shown.key] if shown else []
    config = caddyfile(mac, reads)
    program = gateway.program(the_release())
    caddy.kept(program, f"{layout.env_dir(the_release().id)}/bin/caddy", name="Caddy")
    files.tree(
        name="Files of the door",
        directories=[Directory(layout.GATEWAY_STATE, layout.ACCOUNT, layout.ACCOUNT, "0750")],
        files=[
            *(_closed(path, text) for path, text in zip((layout.DOOR_CERT, layout.DOOR_KEY), reads, strict=False)),
            # Hashes of keys are nobody's business either.
            _closed(layout.GATEWAY_CONFIG, config),
        ],
    )
    _job(program)
    caddy.loaded(
        layout.GATEWAY_LABEL,
        loaded_url(),
        gateway.digest(config),
        layout.log_path(layout.GATEWAY_LABEL),
        name="Configuration of the door",
    )
    caddy.alone(program, name="No Caddy that nothing uses")


def caddyfile(mac: Mac, reads: Sequence[str] = ()) -> str:
    """The configuration of a Mac's door; keys that do not exist yet are made."""
    with _making:
        keys = key_hashes(secrets(), the_fleet().api_keys)
    return gateway.caddyfile(the_fleet(), mac, keys, reads)


def loaded_url() -> str:
    """Where this Mac's door says what it has loaded."""
    return f"http://{this_mac().node_ip}:{the_fleet().ports.door_ready}{gateway.CONFIG_PATH}"


def current(loaded: Mapping[str, str]) -> dict[str, bool]:
    """Whether each door has loaded what the inventory says, as far as it answers; `loaded` are the answers, by name.

    Makes no keys: where one of the inventory is not here yet, no door has it. Raises OSError and ValueError for a key
    that cannot be read.
    """
    answers = {name: answer for name, answer in loaded.items() if answer}
    if not all(key_path(secrets(), name).exists() for name in the_fleet().api_keys):
        return dict.fromkeys(answers, False)
    return {name: gateway.same_settings(answer, caddyfile(the_fleet().mac(name))) for name, answer in answers.items()}


def _job(program: str) -> None:
    """One door after the other where doors restart, as only another Caddy makes them: clients find one that is open."""
    restarting = [mac.name for mac in the_fleet().macs if _restarts(mac)]
    if host.name in restarting:
        caddy.valid(program, layout.GATEWAY_CONFIG, layout.ACCOUNT, layout.HOME, name="The other Caddy starts")
    else:
        launchd.job(layout.GATEWAY_LABEL, gateway_job(the_release()).plist, name=layout.GATEWAY_LABEL)
    for name in host.loop(restarting):  # type: ignore[no-untyped-call]
        if host.name == name:
            launchd.job(layout.GATEWAY_LABEL, gateway_job(the_release()).plist, name=f"Door of {name}")
        turn_over(name=f"Door of {name} is open again")


def _restarts(mac: Mac) -> bool:
    """Whether a door that is open now is one of another Caddy."""
    found = everyone(Running, _door).get(mac.name)
    now = found.digests.get(layout.GATEWAY_LABEL) if found else None
    plist = launchd.job_plist(layout.GATEWAY_LABEL, gateway_job(the_fleet().release(mac)).plist)
    return now is not None and now != plist["EnvironmentVariables"][launchd.DIGEST]


def _door() -> dict[str, Any]:
    return {"labels": [layout.GATEWAY_LABEL]}


def _closed(path: str, content: str) -> TextFile:
    return TextFile(path, content, group=layout.ACCOUNT, mode="0640", secret=True)


def secrets() -> Path:
    """The folder of the fleet's secrets."""
    return Path(the_fleet().secrets).expanduser()


def certificate(mac: Mac) -> DoorFiles | None:
    """What the door of a Mac shows its clients: the user's, or its own; None where it speaks no TLS."""
    fleet = the_fleet()
    if not gateway.is_encrypted(fleet):
        return None
    if isinstance(fleet.tls, dict):
        return DoorFiles(Path(fleet.tls["certificate"]).read_text(), Path(fleet.tls["key"]).read_text())
    with _making:
        return door_files(secrets(), fleet.name, mac.name, gateway.names(fleet, mac))


def trusted(fleet: Fleet) -> Path | None:
    """The file by which a client knows the door; None where it speaks no TLS."""
    if isinstance(fleet.tls, dict):
        return Path(fleet.tls["certificate"])
    return Path(fleet.secrets).expanduser() / DOOR_CA if gateway.is_encrypted(fleet) else None


def key_file(fleet: Fleet) -> Path:
    """The file of the first API key."""
    return key_path(Path(fleet.secrets).expanduser(), fleet.api_keys[0])


def days_left(fleet: Fleet, mac: Mac) -> float | None:
    """How much longer the certificate holds that the door of a Mac shows; None where it speaks no TLS.

    Raises OSError when the door does not answer, or shows one that is not trusted.
    """
    trust = trusted(fleet)
    if not trust:
        return None
    with socket.create_connection((mac.node_ip, fleet.ports.door), DOOR_TIMEOUT_S) as plain:
        try:
            with client_context(trust).wrap_socket(plain, server_hostname=mac.node_ip) as door:
                shown = door.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            if error.verify_code != EXPIRED:
                raise
            return 0.0
    return (ssl.cert_time_to_seconds(str(shown["notAfter"])) - time.time()) / 86400


@cache
def client_context(trust: Path) -> ssl.SSLContext:
    """For asking a door by its address.

    A certificate of the user's own need not name the address: exactly that one is expected then.
    """
    context = ssl.create_default_context(cafile=str(trust))
    if trust.name != DOOR_CA:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
