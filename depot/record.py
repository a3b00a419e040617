"""`python -m depot.record LOCKS [DEPOT]`: fetches wheels known by URL only, and writes their hashes down.

wheels-by-url.lock names wheels that no package index serves, one `name @ URL` a line, without a sha256. The
first fetch decides: the line goes to wheels.lock with the hash found, and from then on it must match.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from depot.download import download
from depot.errors import DepotError

BY_URL = "wheels-by-url.lock"


def unrecorded(locks: Path) -> list[tuple[str, str]]:
    """(name, URL) of each wheel that wheels.lock does not name yet."""
    by_url = locks / BY_URL
    text = by_url.read_text(encoding="utf-8") if by_url.is_file() else ""
    recorded = (locks / "wheels.lock").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if " @ " in line and not line.startswith("#")]
    wanted = [line.split(" @ ", 1) for line in lines]
    return [(name, url.strip()) for name, url in wanted if f"{name} @ {url.strip()} " not in recorded]


def record(locks: Path, depot_dir: Path) -> list[str]:
    """Fetches each unrecorded wheel and appends its line to wheels.lock. Returns the lines added."""
    added = []
    for name, url in unrecorded(locks):
        target = depot_dir / "recorded" / Path(unquote(urlsplit(url).path)).name
        line = f"{name} @ {url} --hash=sha256:{download(url, target)}"
        with (locks / "wheels.lock").open("a", encoding="utf-8") as lock:
            lock.write(line + "\n")
        added.append(line)
    return added


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        for entry in record(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else ".depot")):
            print(entry)
    except (DepotError, OSError) as failure:
        sys.exit(f"raylab: {failure}")
