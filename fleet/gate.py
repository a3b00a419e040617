"""The check before every run: wrong settings end it before pyinfra opens a connection."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from fleet.checks import KNOWN
from fleet.errors import Code, Problem, SettingsError, report
from fleet.load import build
from fleet.raw import read_raw
from fleet.settings import Fleet

# What a shell calls a command that was used wrongly; pyinfra itself ends with 1 when a Mac fails.
EXIT_STATUS = 2


def check_or_exit(inventory: str, options: Iterable[str] = ()) -> Fleet | None:
    """The checked fleet of an inventory file; with problems, print them all and end the run.

    `options` are pyinfra's --data options as given, `name=value`. Returns None for an inventory that is not
    ours to check: no file, or a file without the groups `head` and `workers`.
    """
    path, root = Path(inventory), Path.cwd()
    if not path.is_file():
        return None
    raw = read_raw(path, root)
    if not raw.ours and not raw.problems:
        return None
    for name in (option.partition("=")[0] for option in options):
        if name in KNOWN and not name.startswith("ssh_"):
            fix = f"Set it in {raw.inventory} or in group_data."
            raw.problems.append(Problem(Code.SETTING_OPTION, "--data", "", name, name, fix))
    try:
        return build(raw, root)
    except SettingsError as error:
        print(report(error.problems), file=sys.stderr)
        sys.exit(EXIT_STATUS)
