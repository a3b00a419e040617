"""Makes the byte code of a release's env, whose Python runs this.

    python raylab_bytecode.py RELEASES_FOLDER

What another whole release has of the same file is linked; the rest is compiled, on all cores. A release never changes,
so that nothing has to look later whether the code is current. What is no Python that compiles stays without.
"""

import filecmp
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from compileall import compile_file
from concurrent.futures import ProcessPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode


def sources(folder: Path) -> Iterator[Path]:
    """The modules without byte code."""
    for source in folder.rglob("*.py"):
        if not Path(cache_from_source(str(source))).exists():
            yield source


def others(releases: Path, mine: Path) -> list[Path]:
    """The same folder of the other releases that are whole, the newest first."""
    inside = mine.relative_to(Path(sys.prefix))
    marks = sorted(releases.glob("*/complete"), key=lambda mark: mark.stat().st_mtime, reverse=True)
    folders = (mark.parent / "env" / inside for mark in marks)
    return [folder for folder in folders if folder != mine and folder.is_dir()]


def taken(source: Path, other: Path) -> bool:
    """Whether the byte code of the other file serves, and has been put in its place."""
    made = Path(cache_from_source(str(other)))
    if not (made.is_file() and filecmp.cmp(source, other, shallow=False)):
        return False
    target = Path(cache_from_source(str(source)))
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(made, target)
    except OSError:
        shutil.copy2(made, target)
    return True


def compiled(source: Path) -> bool:
    """Whether it compiles."""
    return bool(compile_file(source, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH))


def main(releases: Path) -> None:
    """Print how many there were."""
    mine = Path(sysconfig.get_path("purelib"))
    folders = others(releases, mine)
    wanted = list(sources(mine))
    left = [each for each in wanted if not any(taken(each, folder / each.relative_to(mine)) for folder in folders)]
    with ProcessPoolExecutor() as pool:
        made = sum(pool.map(compiled, left, chunksize=32))
    print(f"{len(wanted) - len(left)} modules' byte code taken over, {made} compiled")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
