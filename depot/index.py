"""Where a wheel is: read from the pages of the package indexes that pip is configured to ask.

pip itself tells a wheel's address only after it has downloaded it, without a sign of life, and from the start
after each interruption. So only what these pages do not tell is left to pip.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from depot.download import AT_ONCE, Download, client, local_path
from fleet.lockfile import LockedWheel, file_name
from fleet.targets import Target, best

PYPI = "https://pypi.org/simple"
# PyPI's torch for Linux is the GPU build; the lab runs the CPU build, which is served here.
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
# Who needs one of these has an index that only pip can talk to.
ONLY_PIP = ("proxy", "client-cert", "trusted-host", "keyring-provider")
JSON_PAGE = "application/vnd.pypi.simple.v1+json"
# A parser for all of HTML takes seconds for the pages of a release.
_HREF = re.compile(r"""<a\s[^>]*?href\s*=\s*(["'])(.*?)\1""", re.IGNORECASE | re.DOTALL)
ACCEPT = {"Accept": f"{JSON_PAGE}, text/html;q=0.5"}


@dataclass(frozen=True)
class Link:
    """One file that an index names."""

    url: str
    name: str
    sha256: str = ""
    """Empty when the page does not tell."""
    size: int | None = None
    """Bytes."""


@dataclass(frozen=True)
class Sources:
    """Where pip is configured to look."""

    indexes: tuple[str, ...] = (PYPI,)
    folders: tuple[str, ...] = ()
    """pip's find-links: folders, or pages that link files."""


def pip_sources() -> Sources:
    """As pip's configuration files and environment say; nothing when only pip itself can ask there."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return sources_of(listed.splitlines())


def sources_of(listed: Iterable[str]) -> Sources:
    """From the lines of `pip config list`, such as `global.index-url='https://…'`."""
    found = dict(line.partition("=")[::2] for line in listed)
    values: dict[str, str] = {}
    for section in ("global.", "download.", ":env:."):  # the later one wins, as in pip
        values |= {
            key.removeprefix(section): str(ast.literal_eval(value))
            for key, value in found.items()
            if key.startswith(section)
        }
    indexes = [values.get("index-url", PYPI), *values.get("extra-index-url", "").split()]
    if values.get("no-index", "0").lower() in ("1", "true", "yes", "on"):
        indexes = []
    if set(values) & set(ONLY_PIP) or any("@" in urlsplit(index).netloc for index in indexes):
        return Sources((), ())
    return Sources(tuple(indexes), tuple(values.get("find-links", "").split()))


def locate(wheels: Sequence[LockedWheel], target: Target | None, sources: Sources) -> dict[LockedWheel, Download]:
    """How to get each wheel that one of the sources has with the content that the lock names."""
    with client() as session, ThreadPoolExecutor(AT_ONCE) as pool:
        pages = _Pages(sources, session)
        found = pool.map(lambda wheel: pages.download(wheel, target), wheels)
        return {wheel: download for wheel, download in zip(wheels, found, strict=True) if download}


class _Pages:
    """The pages of all sources."""

    def __init__(self, sources: Sources, session: httpx2.Client) -> None:
        self.sources, self.session = sources, session
        self.unreachable: set[str] = set()

    def download(self, wheel: LockedWheel, target: Target | None) -> Download | None:
        """The first source that has the wheel."""
        indexes = [*self.sources.indexes, *([TORCH_CPU] if wheel.version.endswith("+cpu") else [])]
        places = [*self.sources.folders, *(f"{index.rstrip('/')}/{wheel.name}/" for index in indexes)]
        for place in places:
            right = {link.name: link for link in self._links(place, wheel)}
            if link := right.get((best(target, right) if target else None) or next(iter(right), "")):
                return Download(link.name, link.url, (link.sha256,) if link.sha256 else wheel.sha256s, link.size)
        return None

    def _links(self, place: str, wheel: LockedWheel) -> list[Link]:
        """The files of a page or a folder that are the wheel.

        None when it cannot be read: pip, which is asked next, tells what is wrong with it.
        """
        scheme, server = urlsplit(place)[:2]
        try:
            if scheme in ("", "file"):
                return list(_on_disk(local_path(place) if scheme else Path(place).expanduser(), wheel))
            if server in self.unreachable:
                return []
            answer = self.session.get(place, headers=ACCEPT)
            links = _json_links if "json" in answer.headers.get("Content-Type", "") else _html_links
            return list(links(answer.text, str(answer.url), wheel)) if answer.status_code == 200 else []
        except (httpx2.HTTPError, httpx2.InvalidURL):
            self.unreachable.add(server)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return []


def _on_disk(path: Path, wheel: LockedWheel) -> Iterator[Link]:
    page = path / "index.html" if path.is_dir() else path
    if page.is_file():
        yield from _html_links(page.read_text(encoding="utf-8", errors="replace"), page.absolute().as_uri(), wheel)
    elif path.is_dir():
        for file in sorted(path.glob("*.whl")):
            if _project(file.name) == wheel.name:
                with file.open("rb") as stream:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
                if sha256 in wheel.sha256s:
                    yield Link(file.absolute().as_uri(), file.name, sha256, file.stat().st_size)


def _project(file: str) -> str:
    try:
        return parse_wheel_filename(file)[0]
    except InvalidWheelFilename:
        return ""


def _json_links(text: str, base: str, wheel: LockedWheel) -> Iterator[Link]:
    for file in json.loads(text)["files"]:
        sha256 = file["hashes"].get("sha256", "")
        if sha256 in wheel.sha256s or (not sha256 and file["filename"] == wheel.file):
            yield Link(urljoin(base, file["url"]), file["filename"], sha256, file.get("size"))


def _html_links(text: str, base: str, wheel: LockedWheel) -> Iterator[Link]:
    for found in _HREF.finditer(text):
        href, _, fragment = unescape(found[2]).partition("#")
        sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else ""
        # A page has thousands of links, and taking all of them apart takes seconds.
        if sha256 in wheel.sha256s or (wheel.file and not sha256 and file_name(href) == wheel.file):
            yield Link(urljoin(base, href), file_name(href), sha256)
