"""The coordinator with real agents: everything arrives, and what goes wrong is named or healed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fanout_lab import MIB, NAMESPACE, PORT, Lab

from depot.errors import DepotError
from depot.fanout.coordinator import Fanout
from depot.fanout.display import rows
from depot.fanout.parcel import Item, Parcel

MACS = ("mac1", "mac2", "mac3")


def results(fanout: Fanout, parcel: Parcel, seconds: float = 120) -> dict[str, str]:
    """What became of a parcel on each of its Macs: empty, or why it did not arrive."""

    def one(name: str) -> str:
        try:
            fanout.wait(name, parcel.id)
        except DepotError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(parcel.macs)) as pool:
        return dict(zip(parcel.macs, pool.map(one, parcel.macs, timeout=seconds), strict=True))


def until(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def half(fanout: Fanout, name: str, parcel: Parcel) -> bool:
    """Whether a Mac has a third of a parcel, and not all of it."""
    share = fanout.macs[name].shares.get(parcel.id)
    return share is not None and share.total / 3 < share.have < share.total


def two_parcels(lab: Lab) -> list[Parcel]:
    wheels = Parcel("wheels", tuple(lab.item(f"w{index}.whl", 200_000 * index) for index in range(6)), MACS)
    return [wheels, Parcel("weights", (lab.item("model", 8 * MIB + 7), lab.item("config", 300)), MACS)]


def test_everything_arrives_and_the_control_machine_sends_one_copy(lab: Lab) -> None:
    parcels = two_parcels(lab)
    fanout = lab.fanout(parcels, [lab.member(name) for name in MACS])
    for parcel in parcels:
        assert results(fanout, parcel) == dict.fromkeys(MACS, "")
        assert all(lab.holds(name, item) for name in MACS for item in parcel.items)
    sent = fanout.close()
    size = sum(parcel.size for parcel in parcels)
    assert size <= sent.by_seed <= 1.05 * size
    assert all(size <= received <= 1.05 * size for received in sent.received.values())


def test_a_mac_that_has_failed_before_is_waited_for_by_nobody(lab: Lab) -> None:
    *others, _ = MACS
    fanout = lab.fanout(parcels := two_parcels(lab), [lab.member(name) for name in others])
    for parcel in parcels:
        assert results(fanout, replace(parcel, macs=tuple(others))) == dict.fromkeys(others, "")
    assert fanout.settled()


def test_a_mac_that_joins_a_fleet_that_has_it_all_takes_nothing_from_the_control_machine(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The empty one would not wait for long for those that hold it.
    monkeypatch.setattr("depot.fanout.coordinator.READY_S", 30.0)
    item = lab.item("model", 8 * MIB)
    first = Parcel("weights", (item,), MACS[:2])
    fanout = lab.fanout([first], [lab.member(name) for name in MACS[:2]])
    assert results(fanout, first) == dict.fromkeys(MACS[:2], "")
    fanout.close()
    parcel = Parcel("weights", (item,), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    assert results(fanout, parcel) == dict.fromkeys(MACS, "")
    assert lab.holds("mac3", item)
    sent = fanout.close()
    assert sent.by_seed == 0
    assert sent.received == {"mac1": 0, "mac2": 0, "mac3": item.size}


def test_only_the_difference_travels(lab: Lab) -> None:
    shared, old, new = lab.item("shared", 4 * MIB), lab.item("old", MIB), lab.item("new", MIB)
    for items in ((shared, old), (shared, new)):
        parcel = Parcel("weights", items, MACS)
        fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
        assert results(fanout, parcel) == dict.fromkeys(MACS, "")
        sent = fanout.close()
    assert sent.received == dict.fromkeys(MACS, new.size)


@pytest.mark.parametrize("victim", MACS)
def test_a_mac_that_dies_is_named_and_the_others_get_everything(lab: Lab, victim: str) -> None:
    parcel = Parcel("weights", (lab.item("model", 40 * MIB),), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    until(f"{victim} is half-way", lambda: half(fanout, victim, parcel))
    lab.signal(victim, signal.SIGKILL)
    found = results(fanout, parcel)
    assert "the connection to its relay agent ended" in found.pop(victim)
    assert set(found.values()) == {""}
    assert all(lab.holds(name, parcel.items[0]) for name in found)
    assert not lab.holds(victim, parcel.items[0])


def test_a_frozen_mac_is_passed_by_and_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depot.fanout.coordinator.GONE_S", 8.0)
    parcel = Parcel("weights", (lab.item("model", 40 * MIB),), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    until("mac1 is half-way", lambda: half(fanout, "mac1", parcel))
    lab.signal("mac1", signal.SIGSTOP)
    until("the frozen one is shown", lambda: any(row.doing == "it does not answer" for row in rows(fanout)))
    found = results(fanout, parcel)
    assert "it stopped answering" in found.pop("mac1")
    assert set(found.values()) == {""}


@pytest.mark.parametrize("macs", [MACS, ("mac2",)], ids=["of three", "alone"])
def test_a_mac_that_never_says_a_word_is_passed_by_and_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, macs: tuple[str, ...]
) -> None:
    monkeypatch.setattr("depot.fanout.coordinator.GONE_S", 8.0)
    parcel = Parcel("weights", (lab.item("model", MIB),), macs)
    mute = (sys.executable, "-c", "import sys; sys.stdin.read()")
    found = results(lab.fanout([parcel], [lab.member(n, mute) if n == "mac2" else lab.member(n) for n in macs]), parcel)
    assert "its relay agent has said nothing" in found.pop("mac2")
    assert found == dict.fromkeys(set(macs) - {"mac2"}, "")


def test_a_mac_that_thaws_gets_everything(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 40 * MIB),), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    until("mac2 is half-way", lambda: half(fanout, "mac2", parcel))
    lab.signal("mac2", signal.SIGSTOP)
    until("it counts as silent", lambda: fanout.macs["mac2"].silent)
    lab.signal("mac2", signal.SIGCONT)
    assert results(fanout, parcel) == dict.fromkeys(MACS, "")


def test_the_control_machine_dies_and_the_next_run_goes_on_where_it_was(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 40 * MIB),), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    until("mac3 is half-way", lambda: half(fanout, "mac3", parcel))
    agents = list(lab.agents.values())
    fanout.close()  # all an agent notices of the control machine's death is the end of its line
    until("the agents end", lambda: not any(agent.running for agent in agents))
    assert not any(lab.holds(name, parcel.items[0]) for name in MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    assert results(fanout, parcel) == dict.fromkeys(MACS, "")
    received = fanout.close().received
    assert all(size < 0.75 * parcel.size for size in received.values()), received


def test_an_agent_that_does_not_start_is_named(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", MIB),), MACS)
    broken = (sys.executable, "-c", "raise SystemExit('no Python here')")
    members = [lab.member("mac1"), lab.member("mac2", broken), lab.member("mac3")]
    found = results(lab.fanout([parcel], members), parcel)
    assert "no Python here" in found.pop("mac2")
    assert set(found.values()) == {""}


def test_a_full_disk_is_refused_before_anything_is_sent(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 4 * MIB),), MACS)
    folder = lab.folder("mac2")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
        found = results(fanout, parcel)
        assert "1.0 GB short" in found.pop("mac2")
        assert set(found.values()) == {""}
        assert list(folder.iterdir()) == []
        fanout.close()
        until("its agent ends", lambda: not lab.agents["mac2"].running)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_damaged_holder_is_found_out_and_mended(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 8 * MIB),), MACS[:1])
    fanout = lab.fanout([parcel], [lab.member("mac1")])
    assert results(fanout, parcel) == {"mac1": ""}
    fanout.close()
    _flip_a_byte(lab, "mac1", parcel.items[0])
    parcel = Parcel("weights", parcel.items, MACS[:2])
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS[:2]])
    assert results(fanout, parcel) == dict.fromkeys(MACS[:2], "")
    assert lab.holds("mac2", parcel.items[0])
    until("the damaged one is mended", lambda: lab.holds("mac1", parcel.items[0]))


def test_a_deep_run_finds_damage_that_nobody_asked_for(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 8 * MIB),), MACS[:2])
    assert results(lab.fanout([parcel], [lab.member(name) for name in MACS[:2]]), parcel) == dict.fromkeys(MACS[:2], "")
    lab.started[-1].close()
    _flip_a_byte(lab, "mac1", parcel.items[0])
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS[:2]], deep=True)
    assert results(fanout, parcel) == dict.fromkeys(MACS[:2], "")
    assert lab.holds("mac1", parcel.items[0])
    assert fanout.close().received == {"mac1": MIB, "mac2": 0}


def test_private_weights_travel_encrypted(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 8 * MIB),), MACS, private=True)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    assert results(fanout, parcel) == dict.fromkeys(MACS, "")
    assert all(lab.holds(name, parcel.items[0]) for name in MACS)


def test_a_stranger_gets_nothing(lab: Lab) -> None:
    parcel = Parcel("weights", (lab.item("model", 40 * MIB),), MACS)
    fanout = lab.fanout([parcel], [lab.member(name) for name in MACS])
    until("mac1 is half-way", lambda: half(fanout, "mac1", parcel))
    for source, answer in (("127.0.1.77", "000"), ("127.0.1.2", "403")):
        command = [
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--interface",
            source,
            "-H",
            "Range: bytes=0-9",
        ]
        command += ["-H", "Authorization: raylab 00 00", f"http://127.0.1.1:{PORT}/{parcel.id}"]
        done = subprocess.run(["ip", "netns", "exec", NAMESPACE, *command], capture_output=True, text=True, check=False)
        assert done.stdout == answer, source
    assert results(fanout, parcel) == dict.fromkeys(MACS, "")


def test_a_control_machine_that_cannot_be_reached_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depot.fanout.members.UNREACHED_S", 3.0)
    parcel = Parcel("weights", (lab.item("model", MIB),), MACS[:1])
    # As behind a firewall: nobody answers at the address that this Mac is given.
    member = replace(lab.member("mac1"), control="192.0.2.1")
    found = results(lab.fanout([parcel], [member, lab.member("mac2")]), parcel)
    assert "it reached none of 192.0.2.1:" in found["mac1"]


def _flip_a_byte(lab: Lab, name: str, item: Item) -> None:
    """Behind everybody's back: size and time stay as they were."""
    path = lab.folder(name) / item.sha256
    times = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(3 * MIB + 5)
        byte = file.read(1)
        file.seek(3 * MIB + 5)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
