"""`python -m depot.lock [FOLDER …]`: makes locks anew from their inputs, and says what changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from depot.errors import DepotError
from depot.lock.folder import Folder, Upgrade
from depot.lock.parts import PARTS, Outcome, Part, make

LOCKS = Path("locks")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every lock is what its input asks for, 1 when one could not be made."""
    given = _parser().parse_args(arguments)
    upgrade = Upgrade(given.upgrade, frozenset(map(canonicalize_name, given.upgrade_package)))
    paths = given.folder or sorted(path for path in LOCKS.glob("*") if path.is_dir())
    if not paths:
        print(f"raylab: there is no folder below {LOCKS.absolute()}.", file=sys.stderr)
    return max([_lock(path, upgrade, given.depot) for path in paths], default=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m depot.lock", description=__doc__)
    parser.add_argument("folder", nargs="*", type=Path, help="locks/<platform>; all of them by default")
    parser.add_argument("--upgrade", action="store_true", help="prefer the newest of everything to what is locked")
    parser.add_argument(
        "--upgrade-package", action="append", default=[], metavar="NAME", help="prefer the newest of this package"
    )
    parser.add_argument(
        "--depot", type=Path, default=Path(".depot"), help="where wheels that are named by URL are kept (%(default)s)"
    )
    return parser


def _lock(path: Path, upgrade: Upgrade, depot: Path) -> int:
    """Makes every part of one folder."""
    try:
        folder = Folder(path, upgrade, depot)
        parts = [part for part in PARTS if (path / part.source).is_file()]
        if not parts:
            sources = ", ".join(part.source for part in PARTS)
            raise DepotError(f"there is nothing to make locks from: none of {sources}.")
    except DepotError as problem:
        print(f"{path}: {problem}", file=sys.stderr)
        return 1
    return max([_tell(folder, part, make(part, folder)) for part in parts])


def _tell(folder: Folder, part: Part, outcome: Outcome) -> int:
    lock = folder.path / part.lock
    if outcome.written:
        print(f"{lock}: {'' if outcome.changes else 'nothing changed'}".rstrip())
    for line in outcome.changes:
        print(f"  {line}")
    sys.stdout.flush()
    state = "not complete" if outcome.written else "not made, and left as it was"
    for problem in outcome.problems:
        print(f"{lock}: {state}: {problem}", file=sys.stderr)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
