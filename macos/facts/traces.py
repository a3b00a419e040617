"""Facts about what there is of raylab on a Mac, whoever put it there and however far that came."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from fleet.layout import ACCOUNT, JOB_PREFIX, PLISTS, PREFIX, THUNDERBOLT_BEFORE
from macos.facts.host import BEGIN, HOSTS


@dataclass(frozen=True)
class Found:
    """What there is of raylab on one Mac."""

    jobs: tuple[str, ...] = ()
    """Labels that launchd knows, or that have a plist, or that are disabled."""
    folders: tuple[str, ...] = ()
    """What is in /opt/raylab."""
    hosts: bool = False
    """Lines of ours in the hosts file."""
    account: bool = False
    ports: tuple[str, ...] = ()
    """Thunderbolt ports that are not what they were."""

    def __bool__(self) -> bool:
        return any((self.jobs, self.folders, self.hosts, self.account))


class Traces(FactBase[Found]):
    """What there is of raylab on this Mac."""

    def command(self) -> str:
        """A kind and a name on each line. Never fails."""
        label = JOB_PREFIX.replace(".", "[.]")
        return (
            f'for each in {PREFIX}/* {PREFIX}/.[!.]*; do [ ! -e "$each" ] || echo "folder $each"; done; '
            f"[ ! -d {PREFIX} ] || echo 'folder {PREFIX}'; "
            f"ls {PLISTS} 2>/dev/null | sed -n 's/^\\({label}.*\\)[.]plist$/job \\1/p'; "
            f"launchctl list 2>/dev/null | awk '$3 ~ /^{label}/ {{ print \"job \" $3 }}'; "
            f"launchctl print-disabled system 2>/dev/null | "
            f'sed -nE \'s/^[^"]*"({label}[^"]*)" => (disabled|true)$/job \\1/p\'; '
            f"if grep -qxF '{BEGIN}' {HOSTS} 2>/dev/null; then echo 'hosts -'; fi; "
            f"if dscl . -read /Users/{ACCOUNT} UniqueID >/dev/null 2>&1; then echo 'account -'; fi; "
            f"ls {THUNDERBOLT_BEFORE} 2>/dev/null | sed 's/^/port /'; true"
        )

    @staticmethod
    def default() -> Found:
        """Nothing."""
        return Found()

    def process(self, output: list[str]) -> Found:
        """Parses what `command` printed."""
        rows = [(kind, name) for kind, _, name in (line.partition(" ") for line in output) if name]
        named = {
            wanted: tuple(dict.fromkeys(name for kind, name in rows if kind == wanted))
            for wanted in ("job", "folder", "port")
        }
        kinds = {kind for kind, _ in rows}
        return Found(named["job"], named["folder"], "hosts" in kinds, "account" in kinds, named["port"])


STAGING = "/tmp/raylab-"


class Leftovers(FactBase[list[str]]):
    """What belongs to the account with this uid in `folders`, which others use too, and staged uploads."""

    def command(self, uid: int, folders: Sequence[str]) -> str:
        """The outermost paths. Never fails."""
        each = "".join(
            f"find {shlex.quote(f'{folder}/')} -xdev -user {uid} -prune -print 2>/dev/null; " for folder in folders
        )
        return f'{each}for each in {STAGING}*; do [ ! -d "$each" ] || echo "$each"; done; true'

    @staticmethod
    def default() -> list[str]:
        """Nothing."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """One path a line."""
        return [line for line in output if line.startswith("/")]
