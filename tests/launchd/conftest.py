from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from launchd_harness import Launchd

_labels = itertools.count(1)


def _launchd() -> Iterator[Launchd]:
    home = Path(tempfile.mkdtemp(prefix="launchd-"))  # short: a socket path ends at 107 bytes
    launchd = Launchd(home)
    try:
        yield launchd
    finally:
        launchd.kill()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def shared() -> Iterator[Launchd]:
    """One booted launchd for all tests that only use labels of their own."""
    for launchd in _launchd():
        launchd.boot()
        yield launchd


@pytest.fixture
def own() -> Iterator[Launchd]:
    """A launchd of the test's own, not booted yet."""
    yield from _launchd()


@pytest.fixture
def label(shared: Launchd) -> Iterator[str]:
    """A label that no other test uses, unloaded afterwards."""
    name = f"com.example.job{next(_labels)}"
    yield name
    shared.launchctl("kill", "KILL", f"system/{name}")
    shared.launchctl("bootout", f"system/{name}")


@pytest.fixture
def folder(shared: Launchd, label: str) -> Path:
    """A folder that every user can enter, as only root can pytest's."""
    path = shared.home / label
    path.mkdir(mode=0o755)
    return path
