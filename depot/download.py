"""Files from URLs into the depot: several at once, each hashed while it is read, and resumed where it ended.

A file that was cut off stays in the depot's folder `partial`, also over runs. What a server sends is believed
only when its sha256 is right.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx2

from depot.errors import DepotError
from depot.objects import Objects
from depot.partial import CHUNK, Partial
from depot.progress import Tally, counted, shown, volume

# Files at once: enough to hide the time that servers take to answer.
AT_ONCE = 6
# Seconds without a byte after which a server counts as gone, and seconds to reach it.
SILENCE = 30
CONNECT = 15
# Seconds before each new attempt. An attempt that brings PROGRESS new bytes earns all of them again.
PAUSES = (1.0, 2.0, 4.0)
PROGRESS = 16 * 1024 * 1024
SCHEMES = ("file", "http", "https")
# A server that is busy or broken for the moment.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
# Bytes that a disk keeps free.
SPARE = 10**9


@dataclass(frozen=True)
class Download:
    """One file to fetch."""

    name: str
    """What messages call it."""
    url: str
    sha256s: tuple[str, ...]
    """Every content that is right; empty when none is known yet."""
    size: int | None = None
    """Bytes, where they are known."""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Sent with the request; credentials among them are not sent on to another server."""

    @property
    def key(self) -> str:
        """Names what has arrived so far: by content where there is only one, so that any URL can go on with it."""
        return self.sha256s[0] if len(self.sha256s) == 1 else f"url-{hashlib.sha256(self.url.encode()).hexdigest()}"


class _Again(Exception):
    """An attempt failed for a reason that may pass."""


class _OtherRange(_Again):
    """The server has nothing from the byte on that it was asked for."""


class _Never(Exception):
    """An attempt failed, and another one would too."""


def fetch_all(downloads: Sequence[Download], objects: Objects, title: str) -> dict[Download, str]:
    """Makes an object of every download that is not one yet, and returns the sha256 of each.

    `title` says in the display what is fetched. What cannot be had does not stop the others.
    Raises DepotError with everything that cannot be had; before the first byte when the disk has no room.
    """
    if len(_held(downloads, objects)) < len(set(downloads)):
        with objects.alone(), client() as session:
            return _Run(objects, session, title).fetch(downloads)
    return _held(downloads, objects)


def check_room(folder: Path, wanted: int, what: str) -> None:
    """Raises DepotError when the disk under `folder` has not `wanted` bytes left, and 1 GB to spare."""
    free = shutil.disk_usage(folder).free
    if free < wanted + SPARE:
        raise DepotError(
            f"{what} needs {volume(wanted)} in {folder} and {volume(SPARE)} to spare, and only {volume(free)} are free:"
            f" {volume(wanted + SPARE - free)} are missing. Free some, or use another disk."
        )


def _held(downloads: Sequence[Download], objects: Objects) -> dict[Download, str]:
    held = {}
    for download in downloads:
        if right := [sha256 for sha256 in download.sha256s if objects.holds(sha256)]:
            held[download] = right[0]
    return held


def client() -> httpx2.Client:
    """What talks to servers: through this machine's proxy, trusting what this machine trusts."""
    timeout = httpx2.Timeout(SILENCE, connect=CONNECT)
    return httpx2.Client(follow_redirects=True, timeout=timeout, headers={"User-Agent": "raylab"})


class _Run:
    """One call of fetch_all."""

    def __init__(self, objects: Objects, session: httpx2.Client, title: str) -> None:
        self.objects, self.session, self.title = objects, session, title
        self.stop = threading.Event()
        # Servers that failed as often as they may: their other files get one attempt each.
        self.given_up: set[str] = set()
        self.unreachable: set[str] = set()

    def fetch(self, downloads: Sequence[Download]) -> dict[Download, str]:
        """The sha256 of each, in the same order. Raises DepotError."""
        held = _held(downloads, self.objects)
        jobs: dict[str, Download] = {}
        for download in downloads:
            if download not in held:
                jobs.setdefault(download.key, download)  # the same content under two names is fetched once
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sizes = dict(zip(jobs, pool.map(self._size, jobs.values()), strict=True))
            self._check_room(sizes)
            whole = None if None in sizes.values() else sum(size or 0 for size in sizes.values())
            self.tally = Tally(self.title, len(jobs), whole)
            with shown(self.tally):
                found, problems = self._all(jobs, pool)
                if problems:
                    raise DepotError("\n".join(problems[key] for key in jobs if key in problems))
        return {download: held.get(download) or found[download.key] for download in downloads}

    def _all(self, jobs: dict[str, Download], pool: ThreadPoolExecutor) -> tuple[dict[str, str], dict[str, str]]:
        """The sha256 of each job, and what is wrong with the others."""
        found, problems = {}, {}
        running = {pool.submit(self._one, job): key for key, job in jobs.items()}
        try:
            for future in as_completed(running):
                try:
                    found[running[future]] = future.result()
                except DepotError as problem:
                    problems[running[future]] = str(problem)
        except BaseException as problem:
            self.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(problem, OSError):
                fix = "What has arrived is kept: mend that and run it again."
                raise DepotError(f"{self.title}: cannot write to {self.objects.depot}: {problem}. {fix}") from problem
            raise
        return found, problems

    def _size(self, download: Download) -> int | None:
        """Bytes, as the server tells them; None when it does not: that is no reason to stop."""
        if download.size is not None:
            return download.size
        try:
            if urlsplit(download.url).scheme == "file":
                return local_path(download.url).stat().st_size
            if urlsplit(download.url).netloc in self.unreachable:
                return None
            answer = self.session.head(download.url, headers=_headers(download))
            return int(answer.headers["Content-Length"]) if answer.status_code == 200 else None
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            self.unreachable.add(urlsplit(download.url).netloc)
        except (OSError, KeyError, ValueError, httpx2.HTTPError, httpx2.InvalidURL):
            pass
        return None

    def _check_room(self, sizes: dict[str, int | None]) -> None:
        wanted = 0
        for key, size in sizes.items():
            partial = self.objects.partial(key)
            wanted += max(0, (size or 0) - (partial.stat().st_size if partial.exists() else 0))
        check_room(self.objects.depot, wanted, f"Fetching {self.title} ({counted(len(sizes))})")

    def _one(self, download: Download) -> str:
        """Fetches one file, with all its attempts."""
        partial = Partial(self.objects.partial(download.key), self.tally)
        try:
            partial.resume()
            return self._attempts(download, partial)
        except _Never as problem:
            raise DepotError(f"{download.name}: cannot fetch {_public(download.url)}: {problem}") from problem
        finally:
            partial.close()

    def _attempts(self, download: Download, partial: Partial) -> str:
        server = urlsplit(download.url).netloc
        failures, best = 0, partial.have
        while True:
            try:
                return self._attempt(download, partial)
            except _Again as problem:
                failures = 1 if partial.have - best >= PROGRESS else failures + 1
                best = max(best, partial.have)
                if failures > len(PAUSES) or server in self.given_up or self.stop.wait(PAUSES[failures - 1]):
                    self.given_up.add(server)
                    raise _Never(f"{problem}. What has arrived is kept: run it again when that is over.") from problem

    def _attempt(self, download: Download, partial: Partial) -> str:
        if not download.sha256s:
            partial.restart()  # nothing would tell whether two attempts brought parts of the same file
        if partial.sha256 not in download.sha256s:
            resumed = self._receive(download, partial)
            if download.sha256s and partial.sha256 not in download.sha256s:
                self._wrong(download, partial, resumed)
        partial.close()
        self.objects.adopt(partial.path, partial.sha256)
        self.tally.finish()
        return partial.sha256

    def _wrong(self, download: Download, partial: Partial, resumed: bool) -> None:
        """All bytes are there and not what they should be: once, what an earlier run left may be the reason."""
        found = partial.sha256
        partial.restart()
        if resumed and not partial.anew:
            partial.anew = True
            raise _Again(f"its sha256 was {found} after it was resumed")
        partial.close()
        partial.path.unlink()
        expected = " or ".join(download.sha256s)
        raise _Never(
            f"its sha256 is {found}, and {expected} is expected."
            " The server has another file than the one that was locked."
        )

    def _receive(self, download: Download, partial: Partial) -> bool:
        """The rest of the file, or all of it. Returns whether the server went on where the last attempt ended."""
        try:
            with self._opened(download, partial.have) as (start, chunks):
                if start != partial.have:
                    partial.restart()
                for chunk in chunks:
                    partial.write(chunk)
                    if self.stop.is_set():
                        raise _Again("it was stopped")
        except _OtherRange:
            partial.restart()
            raise
        if download.size and partial.have < download.size:
            raise _Again(f"it ended after {partial.have} of {download.size} bytes")
        return start > 0

    @contextmanager
    def _opened(self, download: Download, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Where the body starts, `offset` or 0, and the body."""
        scheme = urlsplit(download.url).scheme
        if scheme not in SCHEMES:
            raise _Never(f"that is no URL that can be fetched ({', '.join(SCHEMES)}). Correct it.")
        if scheme == "file":
            with _readable(local_path(download.url)) as file:
                yield file.seek(offset), _chunks(file)
            return
        wanted = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            with self.session.stream("GET", download.url, headers=_headers(download) | wanted) as answer:
                yield _start(answer, offset), answer.iter_raw()
        except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, httpx2.InvalidURL) as problem:
            raise _Never(f"{problem}. Correct the URL.") from problem
        except httpx2.TimeoutException as problem:
            raise _Again(f"the server was silent for {SILENCE} s") from problem
        except httpx2.HTTPError as problem:
            raise _Again(str(problem) or type(problem).__name__) from problem


def _headers(download: Download) -> dict[str, str]:
    # A compressed answer has another length, and ranges of it are other bytes.
    return {"Accept-Encoding": "identity", **download.headers}


def _start(answer: httpx2.Response, offset: int) -> int:
    """From which byte on the answer is. Raises when it is none."""
    status = answer.status_code
    if status == 200:
        return 0
    if offset and status in (206, 416):
        if re.match(rf"bytes {offset}-", answer.headers.get("Content-Range", "")):
            return offset
        raise _OtherRange(f"the server has nothing from byte {offset} on")
    reason = f"HTTP {status} {answer.reason_phrase}".strip()
    if status in PASSING:
        raise _Again(reason)
    if status in (401, 403):
        raise _Never(f"{reason}. The server wants other credentials, or none of this machine's.")
    raise _Never(f"{reason}. Correct the URL, or make the lock again.")


def local_path(url: str) -> Path:
    """Of a file:// URL."""
    return Path(url2pathname(urlsplit(url).path))


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as problem:
        raise _Never(f"{problem.strerror}. Put it back, or correct the URL.") from problem
    with file:
        yield file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except OSError as problem:
        raise _Never(f"{problem.strerror}. Look at that disk.") from problem


def _public(url: str) -> str:
    """Without the credentials that may stand before the host."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
