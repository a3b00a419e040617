"""The door's Caddy: a program that outlives its release, and a configuration that is loaded without a restart."""

from __future__ import annotations

import re

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.facts.gateway import Answered, Programs
from macos.quiet import Commands, mac_operation
from macos.shell import script_command

_PROGRAM = re.compile(r"(/opt/raylab/gateway)/[0-9a-f]{12}/caddy")


def _folder(program: str) -> str:
    found = _PROGRAM.fullmatch(program)
    if not found:
        raise OperationValueError(f"{program} is not the path of a door's program")
    return found[1]


@mac_operation("gateway.kept")
def kept(program: str, source: str) -> Commands:
    """`program` is a hard link to `source`, which may then go. Named by its content, it is right once it is there."""
    if program in host.get_fact(Programs, directory=_folder(program), wanted=program):
        host.noop(f"{program} is there")
        return
    yield script_command(["files", "gateway"], [["kept", program, source]], [program])


@mac_operation("gateway.valid", is_idempotent=False)
def valid(program: str, config: str, account: str, home: str) -> Commands:
    """`program` starts here, and takes the configuration; else its Mac fails, and no door is touched. Always acts."""
    _folder(program)
    as_account = ["sudo", "-u", account, "env", "-i", f"HOME={home}"]
    yield StringCommand(*as_account, program, "validate", "--config", config, "--adapter", "caddyfile")


@mac_operation("gateway.alone")
def alone(program: str) -> Commands:
    """No other program of the door is there. After its job runs this one."""
    folder = _folder(program)
    found = host.get_fact(Programs, directory=folder, wanted=program)
    others = sorted(set(found) - {program, program.rpartition("/")[0]})
    if not others:
        host.noop("there is no other one")
        return
    yield script_command(["files", "gateway"], [["gone", path] for path in others], others)


@mac_operation("gateway.loaded")
def loaded(label: str, url: str, digest: str, log: str) -> Commands:
    """The job has loaded the configuration that answers `digest` at `url`. Requests on their way are not disturbed.

    Fails its Mac, with the last lines of `log`, when it does not.
    """
    if host.get_fact(Answered, url=url) == digest:
        host.noop(f"{label} has it loaded")
        return
    variables: dict[str, str | int] = {"label": label, "url": url, "digest": digest, "log": log}
    yield script_command(["files", "gateway"], [["loaded"]], [label], variables)
