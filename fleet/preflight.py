"""Whether the Macs are what the inventory says, judged from their facts before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from statistics import median

from fleet import layout
from fleet.errors import Code, Problem
from fleet.macfacts import MacFacts
from fleet.memory import gb
from fleet.plan import Plan
from fleet.settings import GB, Fleet, Mac
from fleet.targets import MACOS

# An env with Ray, vLLM and torch, and room to unpack its packages; measured 4 GB in the lab.
RELEASE_BYTES = 6 * GB
# Always left free: macOS swaps to the same disk, and logs grow.
RESERVE_BYTES = 2 * GB
# Certificates and logs bear it; the facts of all Macs are read within a few seconds of each other.
CLOCK_SECONDS = 30


def check(fleet: Fleet, facts: Mapping[str, MacFacts], plan: Plan | None = None) -> list[Problem]:
    """What is wrong with the Macs, errors before warnings. `facts` are those of the Macs that were asked.

    `plan` says which Mac gets which weights; without it, every Mac gets all. Whether they fit its memory is in there.
    """
    problems: list[Problem] = []
    clock = median(fact.clock_epoch for fact in facts.values()) if facts else 0
    for mac in fleet.macs:
        if mac.name in facts:
            problems += _check_machine(mac, facts[mac.name])
            problems += _check_disk(fleet, plan, mac, facts[mac.name])
            problems += _check_unattended(mac, facts[mac.name], clock)
    return sorted(problems, key=lambda problem: problem.severity != "error")


def _check_machine(mac: Mac, fact: MacFacts) -> Iterator[Problem]:
    has = ", ".join(each for each in fact.addresses if mac.is_loopback or not each.startswith("127.")) or "none"
    if mac.node_ip not in fact.addresses:
        fix = "Correct node_ip in the inventory, or give the Mac that address."
        yield Problem(Code.NODE_IP_ELSEWHERE, "", mac.name, "node_ip", mac.node_ip, fix, has)
    if mac.thunderbolt_ip and mac.thunderbolt_ip not in fact.addresses:
        # macOS takes an address away while nothing answers at the other end: a neighbour that is off stops no run.
        fix = "Correct it, or plug in the cable and wake the Mac at its other end; groups that need it wait."
        yield Problem(Code.LINK_AWAY, "", mac.name, "thunderbolt_ip", mac.thunderbolt_ip, fix, has)
    if fact.macos_version and _version(fact.macos_version) < MACOS:
        oldest = ".".join(map(str, MACOS))
        yield Problem(Code.MACOS_OLD, "", mac.name, "", fact.macos_version, "Update it.", oldest)
    if fact.arch != "arm64":
        fix = "Take it out of the inventory: Metal needs Apple silicon."
        yield Problem(Code.CHIP_WRONG, "", mac.name, "", fact.arch or "of unknown make", fix)
    if mac.memory_gb is not None and fact.memory_bytes and mac.memory_gb * GB != fact.memory_bytes:
        given, has = f"{mac.memory_gb} GB", f"{gb(fact.memory_bytes)} GB"
        fix = "Correct memory_gb, or leave it out."
        yield Problem(Code.MEMORY_DIFFERS, "", mac.name, "memory_gb", given, fix, has)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def _check_disk(fleet: Fleet, plan: Plan | None, mac: Mac, fact: MacFacts) -> Iterator[Problem]:
    """Room for what is not there yet."""
    needed = 0 if f"releases/{fleet.release(mac).id}" in fact.installed else RELEASE_BYTES
    for model in plan.models_on(mac) if plan else fleet.models:
        for stored in model.stored:
            if stored.path.removeprefix(f"{layout.PREFIX}/") not in fact.installed:
                needed += stored.weights.disk_bytes
    if needed and fact.disk_free_bytes < needed + RESERVE_BYTES:
        given, other = f"{gb(fact.disk_free_bytes)} GB", f"{gb(needed + RESERVE_BYTES)} GB"
        yield Problem(Code.DISK_FULL, "", mac.name, "", given, "Make room on its disk.", other)


def _check_unattended(mac: Mac, fact: MacFacts, clock: float) -> Iterator[Problem]:
    """What would keep the Mac from serving by itself."""
    skew = round(fact.clock_epoch - clock)
    if abs(skew) > CLOCK_SECONDS:
        fix = "Switch on System Settings > General > Date & Time > Set automatically."
        yield Problem(Code.CLOCK_SKEW, "", mac.name, "", f"{skew:+d}", fix)
    if fact.filevault:
        fix = "Switch it off for an unattended Mac, in System Settings > Privacy & Security."
        yield Problem(Code.FILEVAULT_ON, "", mac.name, "", "on", fix)
    if fact.firewall:
        fix = "Switch it off: raylab's own firewall keeps strangers out."
        yield Problem(Code.FIREWALL_ON, "", mac.name, "", "on", fix)
    if fact.autorestart is None:
        fix = "Be there after a power cut, or give it a battery of its own."
        yield Problem(Code.AUTORESTART_MISSING, "", mac.name, "", "unsupported", fix)
