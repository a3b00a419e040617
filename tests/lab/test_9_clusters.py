"""Another Python, another head, a head that is dead for good: the Macs go over to a second Ray cluster, under load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from clients import asking, lost
from harness import ADDRESSES, BIN, ROLLING, ROOT, healthy, killed_at, lab, on, pids, run, wait_for

from benchmarks.day_two.load import load
from fleet import layout

LOCKS = "locks-python"
ALL = " ".join(ADDRESSES)
EVERYBODY = asking(list(ADDRESSES), ("alpha", "beta"))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (ROOT / ".lab/artifacts" / LOCKS).is_dir(), reason="this machine has no other patch release of its Python"
    ),
]


def pyinfra(*arguments: str, head: str = "alpha", macs: str = ALL, locks: str = LOCKS, check: bool = True) -> str:
    """A command of day two with another Python in the settings; what it said."""
    settings = [f"LOCKS={locks}", f"HEAD={head}", f"MACS={macs}"]
    done = run("env", *settings, str(BIN / "pyinfra"), "-y", ROLLING, *arguments, check=check, timeout=1800)
    return done.stdout + done.stderr


def cluster(mac: str) -> str:
    """The Ray cluster that a Mac's node is in, by its head's address."""
    text = on(mac, f"launchctl print system/{layout.RAY_LABEL}")
    told = dict(re.findall(r"--(address|node-ip-address|port)=(\S+)", text))
    return told.get("address") or f"{told['node-ip-address']}:{told['port']}"


def clusters() -> set[str]:
    return {cluster(mac) for mac in ADDRESSES}


def jobs(mac: str) -> set[str]:
    """What launchd has of raylab, without the jobs that every Mac has."""
    found = set(re.findall(r"io\.raylab\.\S+", on(mac, "launchctl list")))
    return found - {layout.RAY_LABEL, layout.GATEWAY_LABEL, layout.LIMITS_LABEL, layout.FIREWALL_LABEL}


def sessions(mac: str) -> set[str]:
    """The sessions of Ray whose files are on a Mac. A cluster that finds its state goes on with the one it had."""
    found = on(mac, "find /opt/raylab/ray -maxdepth 2 -type d -name session_2*", check=False)
    assert found
    return {path.rpartition("/")[2] for path in found.split()}


def turns(said: str) -> list[str]:
    """Whose turns a run has brought to their ends, in order."""
    return re.findall(r"Starting operation: Turn of ([\w ]+) is over", said)


def well(head: str, macs: str = ALL, locks: str = LOCKS) -> bool:
    """Every check of health passes, with these settings."""
    report = ROOT / ".lab" / "clusters.json"
    report.unlink(missing_ok=True)
    pyinfra("--data", f"report={report}", "deploy/health.py", head=head, macs=macs, locks=locks, check=False)
    wrong = [check for check in json.loads(report.read_text())["checks"] if not check["ok"]]
    if wrong:
        raise ValueError(json.dumps(wrong, indent=1))
    return True


@pytest.fixture(scope="module", autouse=True)
def over() -> Iterator[None]:
    """What is left at the end is no fleet that others can take over."""
    yield
    lab("down")
    lab("wipe", *ADDRESSES)


def test_a_converge_leaves_another_python_to_the_upgrade(rolling: None) -> None:
    wait_for("a healthy fleet", lambda: healthy(ROLLING), seconds=600)
    said = pyinfra("deploy/cluster.py", check=False)
    assert re.search(r"python 3\.11\.\d+ → 3\.11\.\d+", said)
    assert "deploy/upgrade.py does it Mac by Mac" in said
    assert clusters() == {"10.77.0.11:6379"}


def test_a_turn_that_fails_between_two_clusters_goes_back_and_so_may_the_settings(rolling: None) -> None:
    before = {mac: pids(mac)[layout.RAY_LABEL] for mac in ("alpha", "beta")}
    with load(EVERYBODY) as seen:
        said = pyinfra("deploy/upgrade.py", head="beta", locks="locks-broken", check=False)
        assert "this build of mlx-lm was made not to start" in said
        assert "serves again as before; the roll stops here" in said
        assert clusters() == {"10.77.0.11:6379"}
        assert jobs("beta") >= set(layout.NEXT_LABELS)
        said = pyinfra("deploy/upgrade.py", locks="locks")
    assert lost(seen) == []
    assert turns(said) == []
    assert jobs("beta") == set()
    assert {mac: pids(mac)[layout.RAY_LABEL] for mac in before} == before
    assert well("alpha", locks="locks")


def test_another_python_loses_no_request_and_an_interrupted_upgrade_goes_on(rolling: None) -> None:
    command = ["env", f"LOCKS={LOCKS}", str(BIN / "pyinfra"), "-y", ROLLING, "deploy/upgrade.py"]
    with load(EVERYBODY) as seen:
        # beta has gone over, and gamma is about to.
        killed_at(command, "[gamma]", "switches to release")
        assert clusters() == {"10.77.0.11:6379", "10.77.0.11:6879"}
        assert jobs("alpha") >= set(layout.NEXT_LABELS)
        assert "deploy/upgrade.py" in pyinfra("deploy/health.py", check=False)
        said = pyinfra("deploy/upgrade.py")
    assert lost(seen) == []
    assert turns(said) == ["gamma", "alpha"]
    assert clusters() == {"10.77.0.11:6879"}
    assert jobs("alpha") == {layout.STORE_LABEL, layout.SERVE_LABEL}
    assert on("alpha", "ls -d /opt/raylab/next /opt/raylab/store /opt/raylab/ray/tmp 2>/dev/null", check=False) == ""
    assert well("alpha")


def test_a_rollback_over_two_clusters_says_what_to_do_instead(rolling: None) -> None:
    said = pyinfra("deploy/rollback.py", check=False)
    assert "Take the locks, or the head, back in the settings and run deploy/upgrade.py" in said
    assert clusters() == {"10.77.0.11:6879"}


def test_the_head_moves_to_another_mac_and_loses_no_request(rolling: None) -> None:
    with load(EVERYBODY) as seen:
        said = pyinfra("deploy/upgrade.py", head="beta")
    assert lost(seen) == []
    assert turns(said) == ["gamma", "beta", "alpha"]
    assert clusters() == {"10.77.0.12:6379"}
    assert jobs("beta") == {layout.STORE_LABEL, layout.SERVE_LABEL}
    assert not jobs("alpha")
    assert well("beta")


def test_a_head_that_is_dead_for_good_is_replaced_and_the_living_lose_no_request(rolling: None) -> None:
    lab("power-off", "beta")
    with load(asking(["alpha", "gamma"], ("alpha", "gamma"))) as seen:
        said = pyinfra("deploy/upgrade.py", head="alpha", macs="alpha gamma")
    assert lost(seen) == []
    assert turns(said) == ["gamma", "alpha"]
    assert {cluster(mac) for mac in ("alpha", "gamma")} == {"10.77.0.11:6879"}
    assert well("alpha", macs="alpha gamma")


def test_all_at_once_nobody_reads_the_state_of_another_python(rolling: None) -> None:
    before = sessions("alpha")
    pyinfra("--data", "at_once=1", "deploy/cluster.py", macs="alpha gamma", locks="locks")
    assert sessions("alpha").isdisjoint(before)
    assert well("alpha", macs="alpha gamma", locks="locks")


def test_a_fleet_that_was_stopped_starts_anew_with_another_python(rolling: None) -> None:
    before = sessions("alpha")
    pyinfra("deploy/stop.py", macs="alpha gamma", locks="locks")
    pyinfra("deploy/cluster.py", macs="alpha gamma")
    assert sessions("alpha").isdisjoint(before)
    assert well("alpha", macs="alpha gamma")
