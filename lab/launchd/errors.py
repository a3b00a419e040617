"""launchd's error numbers, which are also launchctl's exit statuses, and their texts."""

from __future__ import annotations

from enum import IntEnum

USAGE = 64


class Code(IntEnum):
    """An error number as launchctl prints and returns it."""

    OK = 0
    NOT_PERMITTED = 1
    NO_PROCESS = 3
    IO = 5
    INVALID = 22
    IN_PROGRESS = 36
    ALREADY = 37
    BAD_PATH = 108
    BAD_PLIST = 109
    BAD_LABEL = 110
    NO_PROGRAM = 111
    NO_DOMAIN = 112
    NO_SERVICE = 113
    NO_USER = 114
    NO_GROUP = 115
    DISABLED = 119
    BAD_OWNER = 122
    TEARING_DOWN = 124
    DOMAIN_ACTION = 125
    QUARANTINED = 155


TEXTS = {
    Code.OK: "Success",
    Code.NOT_PERMITTED: "Operation not permitted",
    Code.NO_PROCESS: "No such process",
    Code.IO: "Input/output error",
    Code.INVALID: "Invalid argument",
    Code.IN_PROGRESS: "Operation now in progress",
    Code.ALREADY: "Operation already in progress",
    Code.BAD_PATH: "Invalid path",
    Code.BAD_PLIST: "Invalid property list",
    Code.BAD_LABEL: "Invalid or missing service identifier",
    Code.NO_PROGRAM: "Invalid or missing Program/ProgramArguments",
    Code.NO_DOMAIN: "Could not find specified domain",
    Code.NO_SERVICE: "Could not find specified service",
    Code.NO_USER: "The specified user does not exist",
    Code.NO_GROUP: "The specified group does not exist",
    Code.DISABLED: "Service is disabled",
    Code.BAD_OWNER: "Path had bad ownership/permissions",
    Code.TEARING_DOWN: "Domain is tearing down",
    Code.DOMAIN_ACTION: "Domain does not support specified action",
    Code.QUARANTINED: "Service is quarantined",
}


def describe(number: int) -> str:
    """``5: Input/output error``, as every launchctl message ends."""
    try:
        return f"{number}: {TEXTS[Code(number)]}"
    except ValueError:
        return f"{number}: unknown error code"


class LaunchdError(Exception):
    """A request that launchd refuses; `code` is what launchctl exits with."""

    def __init__(self, code: Code) -> None:
        super().__init__(describe(code))
        self.code = code
