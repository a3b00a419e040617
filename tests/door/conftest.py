"""A door that is open, with two Macs behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from door_lab import Door, make, opened


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with opened(make(tmp_path)) as door:
        yield door
