"""What a Mac's turn in a roll does to its disk: a flag for the doors, and a copy of what its jobs were started from."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra.api.command import StringCommand

from macos.facts.launchd import plist_path
from macos.shell import script_command


def command(
    verb: str,
    state: str,
    copied: Sequence[str] = (),
    label: str = "",
    digest: str = "",
    number: int = 0,
    group: str = "",
) -> StringCommand:
    """One of `flag`, `unflag`, `keep`, `swap`, `restore`; `state` is raylab's folder for what is not configuration.

    `copied` are the files and folders that belong to what can be gone back to. `digest` is what the job `label` was
    started with: only a plist that says the same is worth keeping. `number` is that of the upgrade. The flag of a
    `group`, by the name of its Serve application, is for that one alone.
    """
    variables = {
        "state": state,
        "flag": f"{state}/draining" + (f"-{group.rpartition(':')[2]}" if group else ""),
        "previous": f"{state}/previous",
        "older": f"{state}/older",
        "copied": "\n".join(copied),
        "plist": plist_path(label),
        "digest": digest,
        "upgrade": f"{state}/upgrade",
        "number": str(number),
    }
    return script_command(["files", "turn"], [[verb]], [verb], variables)
