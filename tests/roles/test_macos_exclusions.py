"""Folders that Time Machine and Spotlight leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from bsd_shell import BsdShell
from test_macos_harness import fact, run

from macos.facts.exclusions import MARKER, Excluded, Exclusions
from macos.operations.exclusions import excluded

DEPOT, WEIGHTS = "/opt/raylab/depot", "/opt/raylab/weights"
BOTH = [DEPOT, WEIGHTS]
EVERYTHING = [*(f"[Excluded]    {path}" for path in BOTH), *(f"[Unindexed] {path}" for path in BOTH)]


def calls(lines: list[str]) -> list[list[str]]:
    return [call for command in run({"tmutil": lines}, excluded, directories=BOTH) for call in command.calls()]


def test_tmutil_s_answer_is_read_however_wide_it_is() -> None:
    lines = [f"[Excluded] {DEPOT}", f"[Included]    {WEIGHTS}", f"[Unindexed] {WEIGHTS}"]
    assert fact(Exclusions, "\n".join(lines), directories=BOTH) == Excluded(frozenset({DEPOT}), frozenset({WEIGHTS}))


def test_folders_that_are_excluded_yield_nothing() -> None:
    assert calls(EVERYTHING) == []


def test_only_what_lacks_is_done() -> None:
    assert calls(EVERYTHING[1:]) == [["excluded", DEPOT]]
    assert calls(EVERYTHING[:3]) == [["unindexed", WEIGHTS, MARKER]]
    assert calls([f"[Included]    {path}" for path in BOTH]) == [
        *(["excluded", path] for path in BOTH),
        *(["unindexed", path, MARKER] for path in BOTH),
    ]


TMUTIL = """\
verb=$1; shift
case $verb in
isexcluded) for each; do grep -qx "$each" "$0.list" 2>/dev/null && echo "[Excluded]    $each"; done ;;
addexclusion) [ ! -e "$0.no-access" ] || [ "$1" != -p ] || { echo 'requires Full Disk Access' >&2; exit 80; }
    [ ! -e "$0.broken" ] || { echo "$1: Error (-50)" >&2; exit 206; }
    [ "$1" != -p ] || shift; echo "$1" >>"$0.list" ;;
esac"""


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    shell = BsdShell(request.param, tmp_path, ())
    shell.command("tmutil", TMUTIL)
    for name in ("depot", "weights"):
        (shell.prefix / name).mkdir()
    return shell


def exclude(mac: BsdShell) -> tuple[int, str]:
    lines = [["excluded", DEPOT], ["unindexed", DEPOT, MARKER]]
    return mac.script(["files", "exclusions"], lines)


@pytest.mark.parametrize("access", [True, False])
def test_a_folder_is_excluded_with_or_without_full_disk_access(mac: BsdShell, access: bool) -> None:
    if not access:
        (mac.bin / "tmutil.no-access").touch()
    assert mac.fact(Exclusions, directories=BOTH) == Excluded()
    assert exclude(mac) == (0, "")
    assert mac.fact(Exclusions, directories=BOTH) == Excluded(frozenset({DEPOT}), frozenset({DEPOT}))


def test_what_tmutil_says_is_told(mac: BsdShell) -> None:
    (mac.bin / "tmutil.broken").touch()
    assert exclude(mac) == (1, f"{DEPOT} is not excluded from backups: tmutil says {DEPOT}: Error (-50)\n")


def test_a_folder_that_is_not_there_is_named(mac: BsdShell) -> None:
    (mac.prefix / "depot").rmdir()
    assert exclude(mac) == (1, f"there is no {DEPOT}\n")
