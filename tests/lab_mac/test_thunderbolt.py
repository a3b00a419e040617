"""Thunderbolt cables between simulated Macs, and what the Macs' own commands make of them."""

from __future__ import annotations

import json

import pytest

from fleet.cables import PortReport, find_cables
from fleet.layout import THUNDERBOLT_BEFORE
from macos.facts.thunderbolt import PREFERENCES, NetworkPorts, PortSettings, SshAddress, ThunderboltPorts
from macos.shell import script_command

from .conftest import World

MASK = "255.255.255.252"
ADDRESSES = {"m4": "10.183.0.1", "m5": "10.183.0.2"}
BRIDGE = f"plutil -extract VirtualNetworkInterfaces.Bridge json -o - {PREFERENCES}"


@pytest.fixture
def cabled(macs: World) -> World:
    """m4's first port (en2) and m5's second (en3), with nothing else cabled."""
    for line in macs.ok("status").splitlines():
        if line.startswith("Thunderbolt cable: "):
            one, _, _, other, _ = line.removeprefix("Thunderbolt cable: ").split()
            macs.ok("uncable", one, other)
    assert macs.ok("cable", "m4", "m5:2") == "m4:1 (en2) – m5:2 (en3)\n"
    return macs


def ports(world: World, name: str) -> PortReport:
    """What raylab's own fact reads."""
    report = ThunderboltPorts()
    return report.process(world.mac(name, report.command()).stdout.splitlines())


def settings(world: World, name: str, *interfaces: str) -> PortSettings:
    report = NetworkPorts()
    return report.process(world.mac(name, report.command(interfaces)).stdout.splitlines())


def does(world: World, name: str, *calls: list[str]) -> str:
    """Run functions of raylab's own script, as root; its errors."""
    variables: dict[str, str | int] = {"preferences": PREFERENCES, "before": THUNDERBOLT_BEFORE, "patience": 10}
    command = script_command(["files", "thunderbolt"], list(calls), [], variables)
    return world.lab("ssh", name, "sudo", "sh", "-s", stdin=str(command.connector_arguments["_stdin"])).stderr


def reaches(world: World, name: str, address: str) -> bool:
    return world.mac(name, f"nc -z -G 2 {address} 22").returncode == 0


def take(interface: str, port: int, address: str, at: int) -> list[list[str]]:
    return [
        ["recorded", interface, f"bridge bridge0 {at}\n"],
        ["unbridged", interface, "bridge0"],
        ["created", f"raylab {interface}", f"Thunderbolt {port}"],
        ["addressed", f"raylab {interface}", address, MASK],
        ["carried", interface, address],
    ]


def give(interface: str, at: int) -> list[list[str]]:
    return [
        ["bridged", interface, "bridge0", str(at)],
        ["removed", f"raylab {interface}"],
        ["rejoined", interface, "bridge0"],
        ["forgotten", interface],
    ]


def test_a_new_mac_has_its_ports_in_the_bridge(macs: World) -> None:
    assert json.loads(macs.mac("m4", BRIDGE).stdout) == {
        "bridge0": {"Interfaces": ["en2", "en3", "en4"], "Options": {"__AUTO__": "thunderbolt-bridge"}}
    }
    report = ports(macs, "m4")
    assert [(port.name, port.interface) for port in report.ports] == [
        ("Thunderbolt 1", "en2"), ("Thunderbolt 2", "en3"), ("Thunderbolt 3", "en4")
    ]  # fmt: skip
    assert report.members == {"bridge0": ("en2", "en3", "en4")}
    assert len(ports(macs, "m5").ports) == 6


def test_both_ends_of_a_cable_name_each_other(cabled: World) -> None:
    reports = {name: ports(cabled, name) for name in ("m4", "m5")}
    [cable] = find_cables(reports)
    assert [(end.mac, end.port.interface, end.port.holds) for end in cable.ends] == [
        ("m4", "en2", "Mac Studio"), ("m5", "en3", "Mac mini")
    ]  # fmt: skip
    # Thunderbolt 4 at one end.
    assert cable.speed == 40
    assert "status: active" in cabled.mac("m4", "ifconfig en2").stdout
    assert "status: inactive" in cabled.mac("m4", "ifconfig en3").stdout
    assert "Thunderbolt cable: m4:1 (en2) – m5:2 (en3)" in cabled.ok("status")


def test_a_port_has_a_link_while_there_is_somebody_at_the_other_end(cabled: World) -> None:
    def active() -> bool:
        return "status: active" in cabled.mac("m4", "ifconfig en2").stdout

    cabled.ok("power-off", "m5")
    assert not active()
    assert ports(cabled, "m4").ports[0].peer == ""
    cabled.ok("power-on", "m5")
    assert active()
    cabled.ok("reboot", "m4")
    assert active()
    cabled.ok("uncable", "m4", "m5")
    assert not active()
    assert find_cables({name: ports(cabled, name) for name in ("m4", "m5")}) == ()


def test_an_address_needs_a_port_that_has_left_the_bridge(cabled: World) -> None:
    service = "raylab en2"
    script = f"""
        sudo networksetup -createnetworkservice '{service}' 'Thunderbolt 1'
        sudo networksetup -setmanual '{service}' 10.183.0.1 {MASK}
        ipconfig getifaddr en2 || echo none
        sudo ifconfig bridge0 deletem en2
        ifconfig bridge0 | grep -c member:
    """
    assert cabled.mac("m4", script).stdout == "none\n2\n"
    cabled.ok("reboot", "m4")
    assert cabled.mac("m4", "ifconfig bridge0 | grep -c member:").stdout == "3\n"
    cabled.mac("m4", f"sudo networksetup -setnetworkserviceenabled '{service}' off")


def test_raylab_s_script_makes_a_link_that_survives_restarts(cabled: World) -> None:
    cabled.mac("m4", "sudo networksetup -setnetworkserviceenabled 'raylab en2' on")
    assert does(cabled, "m4", *take("en2", 1, ADDRESSES["m4"], 0)) == ""
    assert does(cabled, "m5", *take("en3", 2, ADDRESSES["m5"], 1)) == ""
    assert reaches(cabled, "m4", ADDRESSES["m5"])
    assert reaches(cabled, "m5", ADDRESSES["m4"])
    # Nobody else is on that wire.
    assert cabled.lab("client", "ping", "-c", "1", "-W", "1", ADDRESSES["m4"]).returncode != 0
    cabled.ok("reboot", "m4")
    assert reaches(cabled, "m4", ADDRESSES["m5"])
    found = settings(cabled, "m4", "en2")
    assert found.bridges == found.joined == {"bridge0": ("en3", "en4")}
    assert (found.given, found.before) == ({"en2": ADDRESSES["m4"]}, {"en2": ("bridge bridge0 0",)})
    assert found.addresses["en2"] == (ADDRESSES["m4"],)
    cabled.ok("uncable", "m4", "m5")
    assert not reaches(cabled, "m4", ADDRESSES["m5"])
    cabled.ok("cable", "m4:1", "m5:2")
    assert reaches(cabled, "m4", ADDRESSES["m5"])


def test_and_gives_the_port_back(cabled: World) -> None:
    assert does(cabled, "m4", *give("en2", 0)) == ""
    found = settings(cabled, "m4", "en2")
    assert found.bridges == found.joined == {"bridge0": ("en2", "en3", "en4")}
    assert (found.addresses["en2"], found.before) == ((), {})
    # macOS keeps the only service of a port, switched off.
    assert [(one.name, one.enabled) for one in found.services if one.interface == "en2"] == [("raylab en2", False)]
    does(cabled, "m5", *give("en3", 1))


def test_the_ssh_connection_tells_by_which_address_it_came(macs: World) -> None:
    address = SshAddress()
    assert address.process(macs.mac("m4", address.command()).stdout.splitlines()) == "10.77.0.14"


def test_rdma_is_switched_on_in_recovery_only(macs: World) -> None:
    assert ports(macs, "m5").rdma == ()
    file = "/var/db/simulated-mac/rdma.json"
    macs.mac("m5", f"echo '{{\"enabled\": true}}' | sudo tee {file} >/dev/null")
    assert ports(macs, "m5").rdma == ("en2", "en3", "en4", "en5", "en6", "en7")
    macs.mac("m5", f"sudo rm {file}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cable", "m4", "m4"), "m4:2 and m4:2 are ports of the same Mac"),
        (("cable", "m4:1", "m5"), "m4:1 has a cable already"),
        (("cable", "m4:9", "m5"), "m4 has the Thunderbolt ports 1 to 3, and no 9"),
        (("cable", "m4", "nobody"), "no simulated Mac is called nobody"),
        (("uncable", "m4", "m6"), "there is no cable between m4 and m6"),
    ],
)
def test_a_cable_that_cannot_be(cabled: World, arguments: tuple[str, ...], message: str) -> None:
    ran = cabled.lab(*arguments)
    assert ran.returncode == 1
    assert message in ran.stderr


def test_a_mac_that_is_wiped_takes_its_cables_along(cabled: World) -> None:
    cabled.ok("power-off", "m4")
    cabled.ok("wipe", "m4")
    assert "Thunderbolt cable" not in cabled.ok("status")
    assert "status: inactive" in cabled.mac("m5", "ifconfig en3").stdout
