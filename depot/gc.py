"""`python -m depot.gc [INVENTORY …]`: removes from the depots what none of these inventories needs.

By default every inventory/*.py counts. What is removed is fetched again when it is needed again.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from depot.errors import DepotError
from depot.known import Known
from depot.needs import Needs, UnreadableError, read_needs
from depot.objects import Objects
from depot.progress import volume

HEX = "[0-9a-f]"
# What a depot's folder may hold beside objects, by the only names that raylab gives: a person may have put it
# where other files are. Hidden ones, and the partial ones of other names, are what a run left that was killed.
OBJECTS = f"objects/{HEX * 2}/{HEX * 64}"
PIECES = f"pieces/{HEX * 64}.json"
PARTIAL = f"partial/{HEX * 64}"
MANIFESTS = "models/*@*.json"
LEFT = (f"partial/url-{HEX * 64}", "partial/.copy-*", "partial/.new-*", "partial/.pip-*", "pieces/.*", "models/.*")
# Where earlier versions kept artifacts by name, and what they remembered.
FORMER = (
    "placed.json",
    "memory.json",
    "conda/osx-arm64",
    "conda/linux-64",
    "conda/noarch",
    "wheels/*-cp3*",
    f"tools/{HEX * 12}",
    "recorded/*.whl",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every depot was cleaned, 1 when one was left alone because it is not known what is needed of it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument.startswith("-") for argument in given):
        print(__doc__)
        return 2
    inventories = [Path(argument) for argument in given] or sorted(Path("inventory").glob("*.py"))
    readable, unreadable = _read(inventories)
    if unknown := [problem for problem in unreadable if problem.depot is None]:
        return _refused(unknown, "Nothing was removed")
    depots = {needs.depot for needs in readable} | {problem.depot for problem in unreadable if problem.depot}
    return max([_clean(depot, readable, unreadable) for depot in sorted(depots) if depot.is_dir()], default=0)


def _read(inventories: Iterable[Path]) -> tuple[list[Needs], list[UnreadableError]]:
    readable, unreadable = [], []
    for inventory in inventories:
        try:
            if needs := read_needs(inventory, Path.cwd()):
                readable.append(needs)
        except UnreadableError as problem:
            unreadable.append(problem)
    return readable, unreadable


def _refused(problems: Iterable[UnreadableError], what: str) -> int:
    lines = "\n".join(str(problem) for problem in problems)
    print(f"{lines}\nraylab: {what}: what these inventories need is not known.", file=sys.stderr)
    return 1


def _clean(depot: Path, readable: Iterable[Needs], unreadable: Iterable[UnreadableError]) -> int:
    if problems := [problem for problem in unreadable if problem.depot == depot]:
        return _refused(problems, f"{depot}: nothing was removed")
    try:
        clean(depot, [needs for needs in readable if needs.depot == depot])
    except (DepotError, OSError) as problem:
        print(f"raylab: {depot}: {problem}", file=sys.stderr)
        return 1
    return 0


def clean(depot: Path, needs: Sequence[Needs]) -> None:
    """Removes from one depot what none of `needs` names, and tells each file.

    Raises DepotError before anything is removed when it is not known what is needed.
    """
    with Objects(depot).alone():
        kept = set().union(*(need.objects() for need in needs))
        manifests = set().union(*(need.manifests() for need in needs))
        known, total = Known(depot), 0
        for path in _going(depot, kept, manifests):
            size = _size(path)
            name = known.wheels.get(path.name, "")
            print(f"  {path.relative_to(depot)} {name}".rstrip() + f" {volume(size)}")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # when it was the last one
            total += size
        known.forget(kept)
        known.save()
    names = ", ".join(need.inventory for need in needs)
    print(f"{depot}: {volume(total)} removed that {names} do{'es' if len(needs) == 1 else ''} not need")


def _going(depot: Path, kept: set[str], manifests: set[Path]) -> Iterator[Path]:
    """What is not needed."""
    for pattern in (OBJECTS, PIECES, PARTIAL):
        yield from (path for path in sorted(depot.glob(pattern)) if path.stem not in kept)
    yield from (path for path in sorted(depot.glob(MANIFESTS)) if path not in manifests)
    for pattern in (*LEFT, *FORMER):
        yield from sorted(depot.glob(pattern))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


if __name__ == "__main__":
    sys.exit(main())
