"""Clients on the LAN while something is done to the fleet, and what became of their requests."""

from __future__ import annotations

import time

from harness import CA, KEY, door, wait_for

from benchmarks.day_two.load import Load


def asking(singles: list[str], pair: tuple[str, str], long: list[str] | None = None, tokens: int = 400) -> list[str]:
    """One client with two addresses, one for each of the `singles` with only that; every other request is a stream.

    At each door of `long` one stream after the other, each of so many tokens. For `benchmarks.day_two.load`.
    """
    streams = [f"--long={door(mac)}" for mac in long or []]
    trusted = ["--ca", str(CA), "--key", str(KEY)]
    doors = [*map(door, singles), "--pair", *map(door, pair)]
    return ["tiny", "0.5", *doors, *streams, "--long-tokens", str(tokens), *trusted]


def lost(seen: Load) -> list[dict[str, object]]:
    """Requests that got no whole answer; printed, as an assertion shortens them."""
    assert len(seen.records) > 30
    found = [record for record in seen.records if record["outcome"] in ("failed", "cut")]
    for record in found:
        print(record)
    return found


def cut_by(seen: Load, name: str) -> int:
    """How many streams were cut that had begun before a mark: they ran on the Mac that went away then.

    Fails when anything else was lost.
    """
    began = next(mark.at for mark in seen.marks if mark.name == name)
    cut = [record for record in lost(seen) if record["outcome"] == "cut" and record["at"] < began]
    assert lost(seen) == cut
    return len(cut)


def whole(seen: Load, kind: str) -> int:
    """How many requests of a kind of client were answered to the end."""
    return sum(record["kind"] == kind and record["outcome"] == "ok" for record in seen.records)


def during(seen: Load, seconds: float) -> None:
    """Let the clients ask for so long."""
    end = time.time() + seconds
    wait_for("requests", lambda: time.time() > end and len(seen.records) > 10, seconds + 60, every=1)


def steady_after(seen: Load, name: str, seconds: float = 1.0) -> float:
    """Seconds from a mark until no answer at a door that is open took longer than `seconds` any more.

    Only of clients with one address, of which none is the door that is away: others wait for it first.
    """
    began = next(mark.at for mark in seen.marks if mark.name == name)
    ends = [
        record["at"] + record["seconds"]
        for record in seen.records
        if record["at"] >= began - 60 and record["kind"] == "single" and record["seconds"] > seconds
    ]
    return max([end - began for end in ends if end > began], default=0.0)
