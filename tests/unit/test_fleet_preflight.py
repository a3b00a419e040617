"""Preflight: what the Macs' own facts say against the inventory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.macfacts import MacFacts
from fleet.plan import make_plan
from fleet.preflight import check
from fleet.settings import GB, Fleet

BLANK = MacFacts.parse("")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Project(tmp_path).load()


def healthy(fleet: Fleet) -> dict[str, MacFacts]:
    return {
        mac.name: replace(
            BLANK,
            name=mac.name,
            arch="arm64",
            memory_bytes=16 * GB,
            addresses=("127.0.0.1", mac.node_ip),
            disk_free_bytes=100 * GB,
            clock_epoch=1795219200,
            filevault=False,
            firewall=False,
            autorestart=1,
            macos_version="15.0",
        )
        for mac in fleet.macs
    }


def told(fleet: Fleet, **changed: object) -> list[tuple[str, str]]:
    """Severity and line of each problem when beta is changed."""
    facts = healthy(fleet)
    facts["beta"] = replace(facts["beta"], **changed)  # type: ignore[arg-type]
    return [(problem.severity, problem.line()) for problem in check(fleet, facts)]


def test_healthy_macs_have_no_problem(fleet: Fleet) -> None:
    assert told(fleet) == []


def test_a_thunderbolt_link_that_is_away_stops_no_run(fleet: Fleet) -> None:
    macs = tuple(replace(mac, thunderbolt_ip="10.99.0.2") if mac.name == "beta" else mac for mac in fleet.macs)
    [found] = told(replace(fleet, macs=macs))
    assert found == (
        "warning",
        "beta: thunderbolt_ip: 10.99.0.2 is no address of this Mac at this moment; it has 10.77.0.12. Correct it, or "
        "plug in the cable and wake the Mac at its other end; groups that need it wait.",
    )


def test_nothing_is_said_about_macs_that_were_not_asked(fleet: Fleet) -> None:
    assert check(fleet, {}) == []


@pytest.mark.parametrize(
    ("changed", "severity", "line"),
    [
        (
            {"addresses": ("127.0.0.1", "10.77.0.99")},
            "error",
            "beta: node_ip: 10.77.0.12 is no address of this Mac, which has 10.77.0.99. "
            "Correct node_ip in the inventory, or give the Mac that address.",
        ),
        (
            {"addresses": ("127.0.0.1",)},
            "error",
            "beta: node_ip: 10.77.0.12 is no address of this Mac, which has none. "
            "Correct node_ip in the inventory, or give the Mac that address.",
        ),
        (
            {"macos_version": "14.7.1"},
            "error",
            "beta: this Mac runs macOS 14.7.1, and the release needs 15.0. Update it.",
        ),
        (
            {"arch": "x86_64"},
            "error",
            "beta: this machine is x86_64, not an Apple-silicon Mac. "
            "Take it out of the inventory: Metal needs Apple silicon.",
        ),
        (
            {"disk_free_bytes": 7 * GB},
            "error",
            "beta: 7.0 GB are free on the disk, 8.0 GB are needed. Make room on its disk.",
        ),
        (
            {"clock_epoch": 1795219200 - 90},
            "warning",
            "beta: the clock is -90 s away from the other Macs'. "
            "Switch on System Settings > General > Date & Time > Set automatically.",
        ),
        (
            {"filevault": True},
            "warning",
            "beta: FileVault is on: after a power cut this Mac waits for a password and serves nothing. "
            "Switch it off for an unattended Mac, in System Settings > Privacy & Security.",
        ),
        (
            {"firewall": True},
            "warning",
            "beta: the Application Firewall is on and may keep the other Macs out. "
            "Switch it off: raylab's own firewall keeps strangers out.",
        ),
        (
            {"autorestart": None},
            "warning",
            "beta: this Mac cannot switch itself on after a power cut. "
            "Be there after a power cut, or give it a battery of its own.",
        ),
    ],
)
def test_one_fact_is_one_line(fleet: Fleet, changed: dict[str, object], severity: str, line: str) -> None:
    assert told(fleet, **changed) == [(severity, line)]


def test_errors_come_before_warnings(fleet: Fleet) -> None:
    assert [severity for severity, _ in told(fleet, filevault=True, arch="x86_64")] == ["error", "warning"]


def test_what_is_installed_needs_no_more_room(fleet: Fleet) -> None:
    release = f"releases/{fleet.release(fleet.head).id}"
    weights = fleet.models[0].path.removeprefix("/opt/raylab/")
    assert told(fleet, disk_free_bytes=GB, installed=frozenset({release, weights})) == []


def test_adapters_need_room_too(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.adapter("adapters/support", 3 * GB)
    project.change("inventory/group_data/all.py", '"context": 512,', '"adapters": {"support": "adapters/support"},')
    line = "beta: 10.0 GB are free on the disk, 11.0 GB are needed. Make room on its disk."
    assert told(project.load(), disk_free_bytes=10 * GB) == [("error", line)]


def test_a_mac_needs_room_for_its_own_models_only(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.model("models/tiny", 3 * GB)
    project.change("inventory/group_data/all.py", '"context": 512,', '"macs": ["alpha"], "context": 512,')
    fleet = project.load()
    facts = {name: replace(fact, disk_free_bytes=9 * GB) for name, fact in healthy(fleet).items()}
    assert [problem.mac for problem in check(fleet, facts, make_plan(fleet, {}))] == ["alpha"]
    assert [problem.mac for problem in check(fleet, facts)] == ["alpha", "beta", "gamma"]


def test_memory_that_the_inventory_has_wrong(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.change("inventory/lab.py", '"10.77.0.12"', '"10.77.0.12", "memory_gb": 64')
    assert told(project.load()) == [
        (
            "error",
            "beta: memory_gb: the inventory says 64 GB, the Mac has 16.0 GB. Correct memory_gb, or leave it out.",
        )
    ]
