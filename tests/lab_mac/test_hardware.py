"""hardware.toml and its loader."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import hardware
from lab.errors import LabError

ROW = """
[one]
address = "10.77.0.99"
chip = "Apple M4"
machine_model = "Mac16,10"
model_name = "Mac mini"
memory_gb = 16
performance_cores = 4
efficiency_cores = 6
gpu_cores = 10
thunderbolt = 4
thunderbolt_ports = 3
macos = "26.5.1"
build = "25F80"
"""


def test_every_mac_has_an_address_of_its_own() -> None:
    macs = hardware.load()
    assert len({mac.address for mac in macs.values()} | {hardware.client_address()}) == len(macs) + 1
    assert {"alpha", "beta", "gamma", "factory"} <= macs.keys()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory_gb = 16", "", "one: memory_gb is missing"),
        ("memory_gb = 16", 'memory_gb = "16"', "one: memory_gb must be int, not '16'"),
        ("gpu_cores", "gpu_core", "one: gpu_core"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "hardware.toml"
    file.write_text(ROW.replace(old, new))
    with pytest.raises(LabError, match=message):
        hardware.load(file)


def test_an_unknown_mac_gets_the_nearest_name() -> None:
    with pytest.raises(LabError, match="did you mean gamma"):
        hardware.find("gama")
