"""Ways to get an inventory wrong, each with the line it must give: Macs, addresses, settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fleet_project import Project

LAB = "inventory/lab.py"
ALL = "inventory/group_data/all.py"


@dataclass(frozen=True)
class Wrong:
    """One way to get it wrong, and the line it must give."""

    name: str
    break_it: Callable[[Project], object]
    line: str


def lab(old: str, new: str) -> Callable[[Project], object]:
    return lambda project: project.change(LAB, old, new)


def common(old: str, new: str) -> Callable[[Project], object]:
    return lambda project: project.change(ALL, old, new)


def setting(text: str) -> Callable[[Project], object]:
    """A further line in group_data/all.py: the new line 1."""
    return common("ssh_user =", f"{text}\nssh_user =")


def model(text: str) -> Callable[[Project], object]:
    """A further key of the model: line 8."""
    return common('"context": 512,', text)


def secret(text: str, mode: int, name: str = "ray-token") -> Callable[[Project], object]:
    def break_it(project: Project) -> None:
        project.write(f"secrets/{name}", text).chmod(mode)

    return break_it


def locks(folder: str, **versions: str) -> Callable[[Project], object]:
    def break_it(project: Project) -> None:
        project.locks(folder, **versions)
        project.change(LAB, '"10.77.0.12"', f'"10.77.0.12", "locks": "{folder}"')

    return break_it


def remove(name: str) -> Callable[[Project], object]:
    return lambda project: (project.root / name).unlink()


HEAD = 'head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]'

WRONG = [
    # Who is in the fleet
    Wrong(
        "no head",
        lab(HEAD, ""),
        'inventory/lab.py: head: the fleet has no head. Write head = [("@mac/NAME", {"node_ip": "…"})].',
    ),
    Wrong(
        "two heads",
        lab('11"})]', '11"}),\n    ("@mac/delta", {"node_ip": "10.77.0.14"})]'),
        "inventory/lab.py:2: head: the fleet has more than one head: alpha, delta. Move all but one into `workers`.",
    ),
    Wrong(
        "two Macs with the same name",
        lab("@mac/gamma", "@mac/beta"),
        "inventory/lab.py:4: beta: beta is in the inventory twice. Give every Mac its own name, and one role.",
    ),
    Wrong(
        "a Mac that is head and worker",
        lab("@mac/gamma", "@mac/alpha"),
        "inventory/lab.py:4: alpha: alpha is in the inventory twice. Give every Mac its own name, and one role.",
    ),
    Wrong(
        "a name that is no host name",
        lab("@mac/beta", "@mac/beta_2"),
        'inventory/lab.py:3: beta_2: "beta_2" is not a valid host name. '
        "Use letters, digits and hyphens, at most 63, no dots: other Macs look this name up.",
    ),
    Wrong(
        "a host_name that is no host name",
        lab('"10.77.0.12"', '"10.77.0.12", "host_name": "mac.local"'),
        'inventory/lab.py:3: beta: host_name: "mac.local" is not a valid host name. '
        "Use letters, digits and hyphens, at most 63, no dots: other Macs look this name up.",
    ),
    Wrong(
        "a Mac without a connector",
        lab("@mac/beta", "beta"),
        'inventory/lab.py:3: "beta" does not say how the Mac is reached. '
        'Write "@mac/NAME", or "@local" for the Mac that this runs on.',
    ),
    Wrong(
        "something that is no Mac",
        lab('("@mac/beta", {"node_ip": "10.77.0.12"})', "12"),
        'inventory/lab.py:3: workers: 12 is not a Mac. Write ("@mac/NAME", {"node_ip": "…"}).',
    ),
    Wrong(
        "a group that gives no role",
        lab("workers =", "wokers ="),
        "inventory/lab.py:3: beta: beta is neither head nor worker. "
        "Put it into `head` or `workers`; the group `wokers` gives it no role.",
    ),
    # Addresses
    Wrong(
        "no node IP",
        lab('{"node_ip": "10.77.0.12"}', "{}"),
        "inventory/lab.py:3: beta: node_ip: the Mac has no node IP. "
        'Write ("@mac/beta", {"node_ip": "192.168.1.20"}) with an address of that Mac.',
    ),
    Wrong(
        "the same node IP twice",
        lab("10.77.0.12", "10.77.0.11"),
        "inventory/lab.py:3: beta: node_ip: 10.77.0.11 is also an address of alpha. Give every Mac its own.",
    ),
    Wrong(
        "a Thunderbolt address that is a node IP",
        lab('"10.77.0.12"', '"10.77.0.12", "thunderbolt_ip": "10.77.0.11"'),
        "inventory/lab.py:3: beta: thunderbolt_ip: 10.77.0.11 is also an address of alpha. "
        "It is another network than that of the node IPs: give every Mac its own address there.",
    ),
    Wrong(
        "a Thunderbolt address that is none",
        lab('"10.77.0.12"', '"10.77.0.12", "thunderbolt_ip": "bridge0"'),
        'inventory/lab.py:3: beta: thunderbolt_ip: "bridge0" is not an IPv4 address that a Mac can have. '
        "Write the Mac's address on its Thunderbolt Bridge.",
    ),
    Wrong(
        "a node IP that is none",
        lab("10.77.0.12", "10.77.0.300"),
        'inventory/lab.py:3: beta: node_ip: "10.77.0.300" is not an IPv4 address that a Mac can have. '
        "Write four numbers, such as 192.168.1.20.",
    ),
    Wrong(
        "a multicast node IP",
        lab("10.77.0.12", "224.0.0.1"),
        'inventory/lab.py:3: beta: node_ip: "224.0.0.1" is not an IPv4 address that a Mac can have. '
        "Write four numbers, such as 192.168.1.20.",
    ),
    Wrong(
        "loopback among LAN addresses",
        lab("10.77.0.12", "127.0.0.1"),
        "inventory/lab.py:3: beta: node_ip: 127.0.0.1 is loopback, which no other Mac can reach. "
        "Give every Mac of a fleet its address on the LAN.",
    ),
    Wrong(
        "a node IP for all Macs",
        setting('node_ip = "10.77.0.9"'),
        "inventory/group_data/all.py:1: node_ip: this belongs to one Mac and cannot be given to all. "
        "Write it beside the Mac's name in inventory/lab.py, not for the group `all`.",
    ),
    # Settings
    Wrong(
        "a typo in a fleet setting",
        setting("ray_cpu = 8"),
        "inventory/group_data/all.py:1: ray_cpu: there is no setting `ray_cpu`. Did you mean `ray_cpus`?",
    ),
    Wrong(
        "a typo in a Mac's setting",
        lab('"node_ip": "10.77.0.12"', '"node_ip": "10.77.0.12", "host_nam": "b"'),
        "inventory/lab.py:3: beta: host_nam: there is no setting `host_nam`. Did you mean `host_name`?",
    ),
    Wrong(
        "a typo in an SSH setting",
        common("ssh_user", "ssh_usr"),
        "inventory/group_data/all.py:1: ssh_usr: there is no setting `ssh_usr`. Did you mean `ssh_user`?",
    ),
    Wrong(
        "a setting like no other",
        setting("GIGABYTE = 2**30"),
        "inventory/group_data/all.py:1: GIGABYTE: there is no setting `GIGABYTE`. "
        "Remove it, or begin its name with _ when it only helps other lines.",
    ),
    Wrong(
        "a wrong type",
        setting('ray_cpus = "four"'),
        'inventory/group_data/all.py:1: ray_cpus: "four" is not a whole number. For example 8.',
    ),
    Wrong(
        "True is no number",
        setting("ray_cpus = True"),
        "inventory/group_data/all.py:1: ray_cpus: true is not a whole number. For example 8.",
    ),
    Wrong(
        "a number out of range",
        setting("object_store_mb = 10"),
        "inventory/group_data/all.py:1: object_store_mb: 10 is outside 80 to 65536. For example 512.",
    ),
    Wrong(
        "an unknown platform",
        common('"linux-64"', '"linux"'),
        'inventory/group_data/all.py:2: platform: "linux" is not "osx-arm64" or "linux-64". For example "osx-arm64".',
    ),
    Wrong(
        "a fleet setting on one Mac only",
        lab('"10.77.0.12"', '"10.77.0.12", "ray_cpus": 2'),
        "inventory/lab.py:3: beta: ray_cpus: 2 here, but not set for the other Macs. "
        "It is one for the whole fleet: set it in group_data.",
    ),
]
