"""One file from a URL, hashed while it is read; its name appears only when the content is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from depot.errors import DepotError

CHUNK = 1024 * 1024
# Seconds without a byte after which a server counts as gone.
SILENCE = 60
SCHEMES = ("file", "http", "https")


def download(url: str, target: Path, sha256s: tuple[str, ...] = ()) -> str:
    """Fetches `url` into `target` and returns its sha256, which must be one of `sha256s` if any are given.

    Raises DepotError; then there is no `target`, and nothing half-written is left.
    """
    if url.partition(":")[0] not in SCHEMES:
        raise DepotError(f"{target.name}: {url} is no URL that can be fetched ({', '.join(SCHEMES)}).")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        found = _copy(url, partial)
        if sha256s and found not in sha256s:
            expected = " or ".join(sha256s)
            raise DepotError(f"{target.name}: {url} has sha256 {found}; the lock expects {expected}.")
        partial.replace(target)
    except (OSError, http.client.HTTPException) as problem:
        raise DepotError(f"{target.name}: cannot fetch {url}: {_cause(problem)}.") from problem
    finally:
        partial.unlink(missing_ok=True)
    return found


def check_room(folder: Path, wanted: int, what: str) -> None:
    """Raises DepotError when the disk under `folder` has not `wanted` bytes left, and 1 GB to spare."""
    free = shutil.disk_usage(folder).free
    if free < wanted + 10**9:
        raise DepotError(
            f"{what} needs about {wanted / 1e9:.1f} GB in {folder}, and only {free / 1e9:.1f} GB are free."
            " Free some, or set `depot` to a folder on another disk."
        )


def _copy(url: str, partial: Path) -> str:
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "raylab"})
    with urllib.request.urlopen(request, timeout=SILENCE) as source, partial.open("wb") as sink:
        length = int(source.headers.get("Content-Length") or 0)
        check_room(partial.parent, length, url)
        got = 0
        while chunk := source.read(CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            got += len(chunk)
        # A connection that is cut looks like the end of the body.
        if length and got != length:
            raise DepotError(f"{url}: the connection ended after {got} of {length} bytes. Run it again.")
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _cause(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        return f"HTTP {problem.code} {problem.reason}"
    if isinstance(problem, urllib.error.URLError):
        return str(problem.reason)
    return str(problem) or type(problem).__name__
