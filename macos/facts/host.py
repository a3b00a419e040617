"""Facts about the Mac itself: names, hosts file, power and service account."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from .files import FileState, files_command, parse_files

HOSTS = "/etc/hosts"
# Around our lines of it.
BEGIN, END = "# raylab begin", "# raylab end"


@dataclass(frozen=True)
class Names:
    """A Mac's names; None where none is set."""

    host_name: str | None = None
    local_host_name: str | None = None


class HostNames(FactBase[Names]):
    """HostName and LocalHostName. An unset one prints `HostName: not set` to stderr and ends with 1."""

    def command(self) -> str:
        """Two labelled lines."""
        return " ".join(f'echo "{key}=$(scutil --get {key} 2>/dev/null)";' for key in ("HostName", "LocalHostName"))

    @staticmethod
    def default() -> Names:
        """No names."""
        return Names()

    def process(self, output: list[str]) -> Names:
        """Parses the two lines."""
        found = dict(line.split("=", 1) for line in output if "=" in line)
        return Names(found.get("HostName") or None, found.get("LocalHostName") or None)


@dataclass(frozen=True)
class HostsText:
    """The hosts file: its lines, and its owner and mode (None: there is no such file)."""

    lines: tuple[str, ...] = ()
    file: FileState | None = None


class HostsFile(FactBase[HostsText]):
    """/etc/hosts."""

    def command(self) -> str:
        """State first, then the text."""
        return f"{files_command([HOSTS])}; echo '## text'; cat {HOSTS} 2>/dev/null; true"

    @staticmethod
    def default() -> HostsText:
        """There is none."""
        return HostsText()

    def process(self, output: list[str]) -> HostsText:
        """Everything after the marker is the text, whatever it says."""
        at = output.index("## text") if "## text" in output else len(output)
        return HostsText(tuple(output[at + 1 :]), parse_files(output[:at]).get(HOSTS))


_POWER_LINE = re.compile(r" (\S.*?)\s+(\S+)(?: \(.*\))?\s*")


class PowerSettings(FactBase[dict[str, str]]):
    """The settings of `pmset -g` that are in use; this Mac does not support any other."""

    def command(self) -> str:
        """Never fails: without pmset there is nothing to set."""
        return "pmset -g 2>/dev/null; true"

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing is supported."""
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        """Keys may hold spaces; ` (sleep prevented by …)` may follow a value."""
        return {m[1]: m[2] for line in output if (m := _POWER_LINE.fullmatch(line))}


_SOURCES = {"AC Power:": "-c", "Battery Power:": "-b", "UPS Power:": "-u"}


class PowerSources(FactBase[dict[str, dict[str, str]]]):
    """The settings of each power source that this Mac may have, by pmset's flag for it: `-c`, `-b`, `-u`."""

    def command(self) -> str:
        """Never fails."""
        return "pmset -g custom 2>/dev/null; true"

    @staticmethod
    def default() -> dict[str, dict[str, str]]:
        """None is known."""
        return {}

    def process(self, output: list[str]) -> dict[str, dict[str, str]]:
        """A line names the source, its settings follow."""
        found: dict[str, dict[str, str]] = {}
        settings: dict[str, str] = {}
        for line in output:
            if flag := _SOURCES.get(line.strip()):
                settings = found.setdefault(flag, {})
            elif setting := _POWER_LINE.fullmatch(line):
                settings[setting[1]] = setting[2]
        return found


@dataclass(frozen=True)
class Account:
    """A local account; fields are None where they are not set."""

    uid: int
    gid: int | None
    group_gid: int | None
    """The gid of the group with the account's name; None when there is no such group."""
    home: str | None
    shell: str | None
    hidden: bool
    home_directory: FileState | None


class ServiceAccount(FactBase[Account | None]):
    """The account `account`, its group of the same name, and `home`; None when there is no such account.

    Local accounts are not in /etc/passwd. dscl ends with 56 for an account that does not exist.
    """

    def command(self, account: str, home: str) -> str:
        """Reads the account, the group and the home's state in one command that never fails."""
        self.home = home
        keys = "UniqueID PrimaryGroupID NFSHomeDirectory UserShell IsHidden"
        return (
            f"dscl . -read {shlex.quote(f'/Users/{account}')} {keys} 2>/dev/null; echo '## group'; "
            f"dscl . -read {shlex.quote(f'/Groups/{account}')} PrimaryGroupID 2>/dev/null; echo '## home'; "
            f"{files_command([home])}"
        )

    def process(self, output: list[str]) -> Account | None:
        """Raises FactProcessError (this Mac only) for a uid or gid that is no number."""
        group, home = output.index("## group"), output.index("## home")
        user = _directory_record(output[:group])
        if "UniqueID" not in user:
            return None
        group_gid = _directory_record(output[group:home]).get("PrimaryGroupID")
        gid = user.get("PrimaryGroupID")
        try:
            return Account(
                uid=int(user["UniqueID"]),
                gid=int(gid) if gid else None,
                group_gid=int(group_gid) if group_gid else None,
                home=user.get("NFSHomeDirectory"),
                shell=user.get("UserShell"),
                hidden=user.get("IsHidden", "").lower() in ("1", "yes", "true"),
                home_directory=parse_files(output[home:]).get(self.home),
            )
        except ValueError as error:
            raise FactProcessError(f"cannot read the account: {error}") from error


def _directory_record(lines: Sequence[str]) -> dict[str, str]:
    """dscl's `Key: value`; a value with spaces stands on the next line, and our own keys carry a prefix."""
    record: dict[str, str] = {}
    key = ""
    for line in lines:
        if line.startswith(" ") and key:
            record[key] = line.strip()
        elif found := re.fullmatch(r"(?:dsAttrTypeNative:)?(\w+):(?: (.*))?", line):
            key = found[1]
            record[key] = found[2] or ""
    return record
