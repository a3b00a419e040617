"""Specs that any running fleet must meet: `pytest tests/fleet --inventory inventory/lab.py`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fleet.load import load
from fleet.raw import read_raw
from fleet.settings import Fleet, Mac

DEFAULT = "inventory/lab.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The fleet to look at."""
    parser.addoption("--inventory", default=DEFAULT, help=f"an inventory file (default: {DEFAULT})")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `mac` runs once for each Mac of the inventory."""
    if "mac" in metafunc.fixturenames:
        macs = the_fleet(metafunc.config.getoption("--inventory")).macs
        metafunc.parametrize("mac", macs, ids=[mac.name for mac in macs])


@cache
def the_fleet(inventory: str) -> Fleet:
    """The fleet, read and checked as every deploy does."""
    return load(Path(inventory))


@cache
def connection(inventory: str, name: str) -> Host:
    """A testinfra host for one Mac, by the SSH settings of the inventory."""
    raw = next(mac for mac in read_raw(Path(inventory), Path.cwd()).macs if mac.name == name)
    data = {key: entry.value for key, entry in raw.data.items()}
    if raw.entry.startswith("@local"):
        return testinfra.get_host("local://", sudo=True)
    address = data.get("ssh_hostname") or data["node_ip"]
    user = f"{data['ssh_user']}@" if data.get("ssh_user") else ""
    known = data.get("ssh_known_hosts_file")
    options = f"-o UserKnownHostsFile={Path(known).absolute()}" if known else ""
    return testinfra.get_host(
        f"ssh://{user}{address}:{data.get('ssh_port', 22)}",
        ssh_identity_file=data.get("ssh_key"),
        ssh_extra_args=options or None,
        sudo=True,
    )


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """The fleet of --inventory."""
    return the_fleet(request.config.getoption("--inventory"))


@pytest.fixture
def on(request: pytest.FixtureRequest, mac: Mac) -> Host:
    """The Mac of this test, over SSH."""
    return connection(request.config.getoption("--inventory"), mac.name)
