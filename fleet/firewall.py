"""Who may reach which port of a Mac: pf's rules for it, and whether the Mac keeps to them.

The rules only ever close ports of the port table. Whatever else passes or is blocked on a Mac, SSH above all, is not
theirs; nor is the door, which is there for everybody.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from fleet import layout
from fleet.errors import Code, Problem
from fleet.links import cable_networks
from fleet.ports import RING_LAST, RING_PORT, Ports
from fleet.settings import Fleet, Mac

# macOS's own /etc/pf.conf evaluates every anchor below com.apple, so that file needs no change.
ANCHOR = "com.apple/raylab"
# What of the port table everybody may reach, and what listens where only the Mac itself can.
DOOR = frozenset({"door"})
LOOPBACK = frozenset({"store", "dashboard"})
_TABLE = "raylab"
# A main rule that evaluates ours, as pfctl prints it; scrub-anchor and the like do not.
_EVALUATES = re.compile(r'anchor "(com\.apple/\*|com\.apple/raylab|\*)"( all)?')
_LABEL = re.compile(r'label "raylab:([0-9a-f]+)"')
_RESTORE = 'sudo pfctl -f /etc/pf.conf, with the line anchor "com.apple/*" in that file'


@dataclass(frozen=True)
class Rules:
    """What pf shall be told on one Mac."""

    text: str
    """In the syntax of pf.conf."""
    digest: str
    """What they come to, for pf prints rules otherwise than they were written; each carries it as its label."""
    closed: tuple[tuple[int, int], ...]
    """The ports that only the fleet reaches, first and last of each range."""

    def closes(self, port: int) -> bool:
        """Whether strangers are kept from this port."""
        return any(first <= port <= last for first, last in self.closed)


@dataclass(frozen=True)
class Filter:
    """What pf does on a Mac at the moment."""

    enabled: bool = False
    held: bool = False
    """It stays enabled while raylab wants it, whoever else lets go of it."""
    evaluated: bool = False
    """The main rules lead to raylab's."""
    digests: frozenset[str] = frozenset()
    """Of the rules that are loaded; empty when there are none of raylab's."""
    lasting: bool = False
    """launchd has the job that brings the rules back after a restart."""
    token: bool = False
    """There is a record that raylab has enabled pf since the last start."""

    @staticmethod
    def parse(info: str, references: str, main: str, rules: str, token: str, job: str) -> Filter:
        """From what `pfctl -s info`, `References`, `rules`, and `-a ANCHOR -s rules` print, and two lines more."""
        # The name of a program may hold spaces, so fields count from the end: token, N, days, time.
        held = [line.split()[-4] for line in references.splitlines()[2:] if len(line.split()) >= 6]
        return Filter(
            enabled=info.startswith("Status: Enabled"),
            held=bool(token.strip()) and token.strip() in held,
            evaluated=any(_EVALUATES.fullmatch(line.strip()) for line in main.splitlines()),
            digests=frozenset(_LABEL.findall(rules)),
            lasting=bool(job.strip()),
            token=bool(token.strip()),
        )

    def keeps(self, rules: Rules) -> bool:
        """Whether nothing has to be done now for these rules to be the ones that hold."""
        return self.enabled and self.held and self.digests == {rules.digest}


def make_rules(fleet: Fleet, mac: Mac) -> Rules:
    """The rules for one Mac: of the ports in the table, strangers reach the door."""
    allowed, closed = let_in(fleet, mac), closed_ports(fleet.tables)
    ports = ", ".join(str(first) if first == last else f"{first}:{last}" for first, last in closed)
    digest = hashlib.sha256(f"{allowed} {closed}".encode()).hexdigest()[:12]
    text = (
        f"# Only Macs of the fleet reach these ports. Made by raylab; {layout.FIREWALL_LABEL} loads it into {ANCHOR}.\n"
        f"table <{_TABLE}> const {{ {', '.join(allowed)} }}\n"
        # Nothing is passed: what somebody else's rules block stays blocked. Refused at once, not dropped, so that
        # nobody waits for an answer that does not come.
        f"block return in quick on ! lo0 proto tcp from ! <{_TABLE}> to any port {{ {ports} }} "
        f'label "raylab:{digest}"\n'
    )
    return Rules(text, digest, closed)


def let_in(fleet: Fleet, mac: Mac) -> tuple[str, ...]:
    """The addresses that reach every port of a Mac: its fleet's, and those of the setting `allow`."""
    addresses = [each for other in fleet.macs for each in (other.node_ip, other.thunderbolt_ip) if each]
    networks = cable_networks([each.name for each in fleet.macs])
    # Any cable that may be plugged in, so that plugging it in changes no rules.
    cabled = [
        str(networks[frozenset((one.name, other.name))])
        for one, other in combinations(fleet.macs, 2)
        if mac in (one, other) and one.thunderbolt and other.thunderbolt
    ]
    return tuple(dict.fromkeys([*addresses, *cabled, *fleet.allow]))


def closed_ports(tables: Sequence[Ports]) -> tuple[tuple[int, int], ...]:
    """Every port of the tables of both sides but the door, as ranges in ascending order."""
    single = [(port, port) for ports in tables for name, port in ports.single().items() if name not in DOOR]
    workers = [(ports.worker_min, ports.worker_max) for ports in tables]
    return tuple(sorted({*single, *workers, (RING_PORT, RING_LAST)}))


def reached_by(name: str) -> str:
    """Who may reach a port of the table, in words."""
    return "everybody" if name in DOOR else "the Mac itself" if name in LOOPBACK else "the fleet"


def faults(rules: Rules, found: Filter) -> Iterator[tuple[str, str]]:
    """Why strangers get in, or will after a restart, each with what to do."""
    if not found.enabled:
        yield "pf is off, so strangers reach every port", "deploy/cluster.py switches it on again"
    elif found.digests != {rules.digest}:
        what = "other rules than the settings' are" if found.digests else "raylab's rules are not"
        yield f"{what} loaded into pf", "deploy/cluster.py loads them"
    elif not found.held:
        yield "pf is on for others only, who may switch it off", "deploy/cluster.py holds it on"
    if not found.evaluated:
        yield "pf's main rules do not lead to raylab's, so strangers reach every port", _RESTORE
    if not found.lasting:
        yield f"{layout.FIREWALL_LABEL} is not loaded, so a restart opens every port", "deploy/cluster.py loads it"


def check_mac(fleet: Fleet, mac: Mac, found: Filter, ssh_port: int) -> Iterator[Problem]:
    """An error where the rules would cut SSH, which comes in by `ssh_port`; a warning where they hold nobody off."""
    if make_rules(fleet, mac).closes(ssh_port):
        fix = "Let sshd there listen on another port, change `ports`, or write firewall = False."
        yield Problem(Code.SSH_CLOSED, "", mac.name, "firewall", str(ssh_port), fix)
    if not found.evaluated:
        yield Problem(Code.PF_BYPASSED, "", mac.name, "firewall", ANCHOR, f"Run there: {_RESTORE}.")


def is_network(text: str) -> bool:
    """Whether it is an address or a network as pf takes it: no bits set beyond a network's own."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
