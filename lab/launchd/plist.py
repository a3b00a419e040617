"""A launchd.plist as a checked definition. Keys that launchd ignores when their type is wrong are ignored."""

from __future__ import annotations

import grp
import plistlib
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from .errors import Code, LaunchdError

DEFAULT_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
MINIMUM_RUNTIME = 10
EXIT_TIMEOUT = 5


@dataclass(frozen=True)
class KeepAlive:
    """When a job is started again. `always` on any exit; else the conditions that are set, ORed."""

    always: bool = False
    successful_exit: bool | None = None
    crashed: bool | None = None


@dataclass(frozen=True)
class Definition:
    """What one plist says. Times in seconds; `limits` maps a plist limit name to its (soft, hard) numbers."""

    label: str
    path: Path
    program: str
    arguments: tuple[str, ...]
    inferred_program: bool
    disabled: bool
    run_at_load: bool
    keep_alive: KeepAlive
    minimum_runtime: int
    exit_timeout: int
    abandon_group: bool
    user: str | None
    group: str | None
    directory: str | None
    environment: dict[str, str]
    limits: dict[str, tuple[int | None, int | None]]
    umask: int | None
    stdin: str | None
    stdout: str | None
    stderr: str | None


def check_file(path: Path) -> None:
    """Refuse what launchd refuses before reading: 108 no such file, 122 owner, mode or no regular file."""
    try:
        info = path.lstat()
    except OSError:
        raise LaunchdError(Code.BAD_PATH) from None
    if not stat.S_ISREG(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise LaunchdError(Code.BAD_OWNER)


def read(path: Path) -> Definition:
    """The definition in a plist file.

    Raises LaunchdError: 108, 122 (the file), 109 (no property list), 110 (Label), 111 (no program),
    114, 115 (no such user, group).
    """
    check_file(path)
    try:
        data = plistlib.loads(path.read_bytes())
    except Exception:  # plistlib has a different one for every kind of damage
        raise LaunchdError(Code.BAD_PLIST) from None
    if not isinstance(data, dict):
        raise LaunchdError(Code.BAD_PLIST)
    definition = _define(path, data)
    _check_account(definition)
    return definition


def label_of(path: Path) -> str | None:
    """The Label in a plist file, whatever else is wrong with it; None if there is none to read."""
    try:
        data = plistlib.loads(path.read_bytes())
        return _text(data, "Label")
    except Exception:  # any damage at all means the same: no label
        return None


def _define(path: Path, data: dict[str, Any]) -> Definition:
    label = _text(data, "Label")
    if not label or "/" in label:
        raise LaunchdError(Code.BAD_LABEL)
    arguments, program = _command(data)
    keep_alive = _keep_alive(data.get("KeepAlive"))
    return Definition(
        label=label,
        path=path,
        program=program or arguments[0],
        arguments=arguments or (program or "",),
        inferred_program=program is None,
        disabled=_flag(data, "Disabled"),
        # the job has to run once before there is an exit to judge
        run_at_load=_flag(data, "RunAtLoad") or keep_alive.always or keep_alive.successful_exit is not None,
        keep_alive=keep_alive,
        minimum_runtime=_number(data, "ThrottleInterval", MINIMUM_RUNTIME),
        exit_timeout=_number(data, "ExitTimeOut", EXIT_TIMEOUT),
        abandon_group=_flag(data, "AbandonProcessGroup"),
        user=_text(data, "UserName"),
        group=_text(data, "GroupName"),
        directory=_text(data, "WorkingDirectory"),
        environment=_environment(data.get("EnvironmentVariables")),
        limits=_limits(data),
        umask=_umask(data.get("Umask")),
        stdin=_text(data, "StandardInPath"),
        stdout=_text(data, "StandardOutPath"),
        stderr=_text(data, "StandardErrorPath"),
    )


def _command(data: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    arguments = data.get("ProgramArguments", [])
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        raise LaunchdError(Code.BAD_PLIST)
    program = _text(data, "Program")
    if not program and not (arguments and arguments[0]):
        raise LaunchdError(Code.NO_PROGRAM)
    return tuple(arguments), program or None


def _check_account(definition: Definition) -> None:
    try:
        if definition.user is not None:
            pwd.getpwnam(definition.user)
    except KeyError:
        raise LaunchdError(Code.NO_USER) from None
    try:
        if definition.group is not None:
            grp.getgrnam(definition.group)
    except KeyError:
        raise LaunchdError(Code.NO_GROUP) from None


def group_name(definition: Definition) -> str | None:
    """The group a job runs in, as print shows it: its own, or its user's primary one."""
    if definition.group is not None or definition.user is None:
        return definition.group
    try:
        return grp.getgrgid(pwd.getpwnam(definition.user).pw_gid).gr_name
    except KeyError:
        return None


def _text(data: dict[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _flag(data: dict[str, Any], key: str) -> bool:
    return data.get(key) is True


def _number(data: dict[str, Any], key: str, default: int) -> int:
    value = data.get(key)
    return value if _is_number(value) and value >= 0 else default


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _keep_alive(value: object) -> KeepAlive:
    if not isinstance(value, dict):
        return KeepAlive(always=value is True)
    conditions = {key: choice for key, choice in value.items() if isinstance(choice, bool)}
    return KeepAlive(successful_exit=conditions.get("SuccessfulExit"), crashed=conditions.get("Crashed"))


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def _limits(data: dict[str, Any]) -> dict[str, tuple[int | None, int | None]]:
    soft, hard = ({}, {})
    if isinstance(data.get("SoftResourceLimits"), dict):
        soft = {k: v for k, v in data["SoftResourceLimits"].items() if _is_number(v)}
    if isinstance(data.get("HardResourceLimits"), dict):
        hard = {k: v for k, v in data["HardResourceLimits"].items() if _is_number(v)}
    return {name: (soft.get(name), hard.get(name)) for name in sorted(soft.keys() | hard.keys())}


def _umask(value: object) -> int | None:
    if isinstance(value, str):
        try:  # as strtoul(3) with base 0: a leading zero means octal
            return int(value, 8 if value.startswith("0") and value[1:].isdigit() else 0) & 0o777
        except ValueError:
            return None
    return value & 0o777 if _is_number(value) else None


def plists_in(folder: Path) -> list[Path]:
    """The folder's plists by name; none if there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".plist")
    except OSError:
        return []
