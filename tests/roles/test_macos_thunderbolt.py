"""Thunderbolt ports: what the facts read, and what the operation does about it."""

from __future__ import annotations

import json
import plistlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from test_macos_harness import Command, fact, run
from thunderbolt_macs import MACBOOK, MINI, Desk

from fleet.cables import PortReport
from fleet.layout import THUNDERBOLT_BEFORE
from fleet.links import NETMASK
from macos.facts.thunderbolt import NetworkPorts, PortSettings, Service, SshAddress, ThunderboltPorts
from macos.operations.thunderbolt import addresses

ADDRESS = "10.183.4.1"
HEADER = "An asterisk (*) denotes that a network service is disabled.\n"


@dataclass
class Settings:
    """The network settings of a Mac with three ports, as its commands print them. As they are on a new Mac."""

    services: list[tuple[str, str, str, bool]] = field(
        default_factory=lambda: [("Ethernet", "Ethernet", "en0", True), ("Thunderbolt Bridge",) * 2 + ("bridge0", True)]
    )
    bridge: tuple[str, ...] = ("en2", "en3", "en4")
    joined: tuple[str, ...] | None = None
    given: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    carried: dict[tuple[str, str], str] = field(default_factory=dict)

    def text(self) -> str:
        desk = Desk({"alpha": MINI}, addresses=self.carried)
        interfaces = desk.ifconfig("alpha")
        joined = self.bridge if self.joined is None else self.joined
        for name in set(MINI.values()) - set(joined):
            interfaces = interfaces.replace(f"\tmember: {name} ", "\tonce: ")
        order = "".join(
            f"({number if enabled else '*'}) {name}\n(Hardware Port: {port}, Device: {device})\n\n"
            for number, (name, port, device, enabled) in enumerate(self.services, 1)
        )
        bridges = {"bridge0": {"Interfaces": list(self.bridge), "Options": {"__AUTO__": "thunderbolt-bridge"}}}
        given = "".join(
            f"## given {name}\nManual Configuration\nIP address: {address}\nSubnet mask: {NETMASK}\nRouter: (null)\n"
            for name, address in self.given.items()
        )
        before = "".join(f"## before {name}\n{text}" for name, text in self.before.items())
        return (
            f"## ports\n{desk.hardware_ports('alpha')}## services\n{HEADER}{order}"
            f"## bridges\n{json.dumps(bridges)}\n## interfaces\n{interfaces}{given}{before}"
        )

    def calls(
        self, wanted: dict[str, str], handed: tuple[str, ...] = ("en2", "en3"), ssh: str = "192.168.1.20"
    ) -> list[list[str]]:
        """What the operation has to do, without what is around it so that it can be undone."""
        calls = [call for command in self.commands(wanted, handed, ssh) for call in command.calls()]
        return [call for call in calls if call[0] not in ("armed", "extended")]

    def commands(
        self, wanted: dict[str, str], handed: tuple[str, ...] = ("en2", "en3"), ssh: str = "192.168.1.20"
    ) -> list[Command]:
        """The commands of the operation; what confirms a change is left out."""
        return run(
            {"SSH_CONNECTION": [ssh], "listnetworkserviceorder": self.text()},
            addresses,
            wanted=wanted,
            netmask=NETMASK,
            handed=handed,
            reached_by=["192.168.1.20"],
        )


def taken(**changes: object) -> Settings:
    """en2 as raylab leaves it."""
    settings = Settings(
        bridge=("en3", "en4"),
        given={"en2": ADDRESS},
        before={"en2": "bridge bridge0 0\n"},
        **changes,  # type: ignore[arg-type]
    )
    settings.services.append(("raylab en2", "Thunderbolt 1", "en2", True))
    return settings


# Facts


def test_the_ports_and_their_cables() -> None:
    desk = Desk({"alpha": MACBOOK, "beta": MINI}, cables=[("alpha", 2, "beta", 1)], rdma=True)
    text = (
        f"## profiler\n{desk.profiler('alpha')}\n## ports\n{desk.hardware_ports('alpha')}"
        f"## interfaces\n{desk.ifconfig('alpha')}## rdma\n{desk.rdma_ctl()}## devices\n{desk.ibv_devices('alpha')}"
    )
    assert fact(ThunderboltPorts, text) == desk.report("alpha")
    assert fact(ThunderboltPorts, "## profiler\n## ports\n## interfaces\n## rdma\n## devices\n") == PortReport()


def test_the_network_settings() -> None:
    settings = taken()
    settings.services.append(("Old link", "Thunderbolt 2", "en3", False))
    found = fact(NetworkPorts, settings.text(), interfaces=["en2"])
    assert found.ports == {
        "en0": "Ethernet", "en2": "Thunderbolt 1", "en3": "Thunderbolt 2", "en4": "Thunderbolt 3",
        "bridge0": "Thunderbolt Bridge",
    }  # fmt: skip
    assert found.services[2:] == (Service("raylab en2", "en2", True), Service("Old link", "en3", False))
    assert found.bridges == found.joined == {"bridge0": ("en3", "en4")}
    assert (found.given, found.before) == ({"en2": ADDRESS}, {"en2": ("bridge bridge0 0",)})
    assert found.addresses["en0"] == ("192.168.1.20",)


def test_a_mac_of_which_nothing_was_handed_over_is_not_asked(tmp_path: Path) -> None:
    shell = BsdShell("dash", tmp_path, ())
    shell.command("networksetup", "echo asked")
    assert shell.fact(NetworkPorts, interfaces=[]) == PortSettings()
    assert shell.fact(SshAddress) == ""


# What is done


def test_a_port_leaves_the_bridge_and_gets_a_service_of_its_own() -> None:
    assert Settings().calls({"en3": ADDRESS}) == [
        ["recorded", "en3", "bridge bridge0 1\n"],
        ["unbridged", "en3", "bridge0"],
        ["created", "raylab en3", "Thunderbolt 2"],
        ["addressed", "raylab en3", ADDRESS, NETMASK],
        ["carried", "en3", ADDRESS],
    ]


def test_a_port_that_is_right_yields_nothing() -> None:
    assert taken().calls({"en2": ADDRESS}) == []


def test_nothing_is_touched_without_a_cable() -> None:
    assert Settings().calls({}) == []
    # Nor is a port that was taken, while its cable is out.
    assert taken().calls({}) == []


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"given": {"en2": "10.183.9.9"}}, [["addressed", "raylab en2", ADDRESS, NETMASK]]),
        ({"joined": ("en2", "en3", "en4")}, [["unbridged", "en2", "bridge0"]]),
    ],
)
def test_what_differs_is_repaired(change: dict[str, object], calls: list[list[str]]) -> None:
    settings = taken()
    for name, value in change.items():
        setattr(settings, name, value)
    assert settings.calls({"en2": ADDRESS}) == [
        ["recorded", "en2", "bridge bridge0 0\n"], *calls, ["carried", "en2", ADDRESS]
    ]  # fmt: skip


def test_a_service_that_somebody_switched_off_is_switched_on() -> None:
    settings = taken()
    settings.services[-1] = ("raylab en2", "Thunderbolt 1", "en2", False)
    assert ["switched", "raylab en2", "on"] in settings.calls({"en2": ADDRESS})


def test_the_services_of_others_are_switched_off_and_recorded() -> None:
    settings = Settings(bridge=())
    settings.services += [
        ("Thunderbolt 1", "Thunderbolt 1", "en2", True),
        ("Old link", "Thunderbolt 1", "en2", False),
        ("Thunderbolt 2", "Thunderbolt 2", "en3", True),
    ]
    calls = settings.calls({"en2": ADDRESS})
    assert calls[0] == ["recorded", "en2", "service Thunderbolt 1\n"]
    assert [call for call in calls if call[0] == "switched"] == [["switched", "Thunderbolt 1", "off"]]


def test_the_first_record_is_kept() -> None:
    settings = taken(joined=("en3", "en4"))
    settings.services.append(("Newer", "Thunderbolt 1", "en2", True))
    settings.bridge = ("en3", "en4", "en2")
    assert settings.calls({"en2": ADDRESS})[0] == [
        "recorded", "en2", "bridge bridge0 0\nservice Newer\n"
    ]  # fmt: skip


def test_a_port_that_is_no_longer_handed_over_becomes_what_it_was() -> None:
    settings = taken()
    settings.before = {"en2": "bridge bridge0 0\nservice Thunderbolt 1\nservice Gone\n"}
    settings.services.append(("Thunderbolt 1", "Thunderbolt 1", "en2", False))
    assert settings.calls({}, handed=()) == [
        ["bridged", "en2", "bridge0", "0"],
        ["removed", "raylab en2"],
        ["switched", "Thunderbolt 1", "on"],
        ["rejoined", "en2", "bridge0"],
        ["forgotten", "en2"],
    ]


def test_a_bridge_that_is_gone_is_not_made_again() -> None:
    settings = Settings(before={"en2": "bridge bridge9 0\n"})
    assert settings.calls({}, handed=()) == [["forgotten", "en2"]]


def test_a_cable_that_moved_takes_its_address_along() -> None:
    verbs = [call[:2] for call in taken().calls({"en3": ADDRESS})]
    assert verbs.index(["forgotten", "en2"]) < verbs.index(["addressed", "raylab en3"])
    assert ["removed", "raylab en2"] in verbs


@pytest.mark.parametrize(
    ("interface", "carried", "ssh", "reason"),
    [
        ("en9", {}, "", "en9 is no interface of this Mac"),
        ("en0", {}, "", "en0 is Ethernet, not a Thunderbolt port"),
        ("bridge0", {}, "", "bridge0 is Thunderbolt Bridge, not a Thunderbolt port"),
        (
            "en2", {("alpha", "en2"): "192.168.1.20", ("alpha", "en0"): "1.1.1.1"}, "",
            "en2 is left alone: en2 carries 192.168.1.20, by which this Mac is reached",
        ),
        (
            "en2", {("alpha", "bridge0"): "10.99.0.2"}, "10.99.0.2",
            "en2 is left alone: bridge0 carries 10.99.0.2, by which this Mac is reached",
        ),
    ],
)  # fmt: skip
def test_an_interface_that_must_not_be_touched(
    interface: str, carried: dict[tuple[str, str], str], ssh: str, reason: str
) -> None:
    [first, *_] = Settings(carried=carried).calls({interface: ADDRESS}, handed=(interface,), ssh=ssh)
    assert first == ["die", reason]


# The script, for real

NETWORKSETUP = """\
cd "${0%/*}"
verb=$1; shift
echo "$verb $*" >>calls
case $verb in
-listallnetworkservices) echo 'An asterisk (*) denotes that a network service is disabled.'
    for each in services/*; do
        if grep -q off "$each"; then echo "*${each#services/}"; else echo "${each#services/}"; fi
    done ;;
-createnetworkservice) [ ! -e stubborn ] || { echo 'no such port'; exit 4; }; echo on >"services/$1" ;;
-removenetworkservice) [ ! -e only ] || { echo 'the only one'; exit 4; }; rm "services/$1" ;;
-setnetworkserviceenabled) [ -e "services/$1" ] || { echo "$1 is not recognized"; exit 4; }; echo "$2" >"services/$1" ;;
-setmanual) [ $# -eq "$(cat arguments)" ] || { echo 'wrong number of arguments'; exit 4; }; echo "$2" >"address $1" ;;
-getinfo) echo 'Manual Configuration'; echo "IP address: $(cat "address $1")" ;;
esac
"""
IFCONFIG = """\
cd "${0%/*}"
case ${2:-show} in
deletem) grep -vx "$3" members >rest; mv rest members ;;
addm) [ ! -e off ] || { echo "BRDGADD $3" >&2; exit 1; }; echo "$3" >>members ;;
show) [ "$1" != bridge0 ] || sed 's/^/\tmember: /; s/$/ flags=3<LEARNING,DISCOVER>/' members
    [ ! -e "link $1" ] || printf '\\tinet %s netmask 0xfffffffc\\n\\tstatus: active\\n' "$(cat "link $1")" ;;
esac
"""


class Mac(BsdShell):
    """A Mac whose ports en2, en3 and en4 are in its Thunderbolt Bridge."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder, ("PlistBuddy",))
        for command, body in (("networksetup", NETWORKSETUP), ("ifconfig", IFCONFIG), ("chown", ":")):
            self.command(command, body)
        (self.bin / "services").mkdir()
        self.write("services/Ethernet", "on")
        self.write("members", "en2\nen3\nen4\n")
        self.write("arguments", "3")
        self.preferences = folder / "preferences.plist"
        bridge = {"Interfaces": ["en2", "en3", "en4"]}
        self.preferences.write_bytes(plistlib.dumps({"VirtualNetworkInterfaces": {"Bridge": {"bridge0": bridge}}}))

    def write(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.bin / name).read_text().strip()

    def members(self) -> list[str]:
        """Of the bridge, in the settings."""
        settings = plistlib.loads(self.preferences.read_bytes())
        return list(settings["VirtualNetworkInterfaces"]["Bridge"]["bridge0"]["Interfaces"])

    def does(self, *calls: list[str]) -> tuple[int, str]:
        variables: dict[str, str | int] = {
            "preferences": str(self.preferences), "before": THUNDERBOLT_BEFORE, "patience": 1,
            "plistbuddy": str(self.bin / "PlistBuddy"), "poll": "0.1",
        }  # fmt: skip
        return self.script(["files", "thunderbolt"], list(calls), **variables)


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> Mac:
    return Mac(request.param, tmp_path)


TAKE = [
    ["recorded", "en3", "bridge bridge0 1\n"],
    ["unbridged", "en3", "bridge0"],
    ["created", "raylab en3", "Thunderbolt 2"],
    ["addressed", "raylab en3", ADDRESS, NETMASK],
    ["carried", "en3", ADDRESS],
]
GIVE = [
    ["bridged", "en3", "bridge0", "1"],
    ["removed", "raylab en3"],
    ["rejoined", "en3", "bridge0"],
    ["forgotten", "en3"],
]


def test_a_port_is_taken_and_given_back(mac: Mac) -> None:
    assert mac.does(*TAKE) == (0, "")
    assert mac.members() == mac.read("members").split() == ["en2", "en4"]
    assert (mac.read("services/raylab en3"), mac.read("address raylab en3")) == ("on", ADDRESS)
    record = mac.prefix / "state/thunderbolt/en3"
    assert record.read_text() == "bridge bridge0 1\n"
    assert mac.does(*GIVE) == (0, "")
    assert mac.members() == ["en2", "en3", "en4"]
    assert sorted(mac.read("members").split()) == ["en2", "en3", "en4"]
    assert not (mac.bin / "services/raylab en3").exists()
    assert not record.exists()


def test_the_only_service_of_a_port_is_switched_off(mac: Mac) -> None:
    mac.write("only", "")
    assert mac.does(*TAKE, *GIVE) == (0, "")
    assert mac.read("services/raylab en3") == "off"


def test_a_bridge_that_is_off_takes_the_port_at_the_next_start(mac: Mac) -> None:
    mac.write("off", "")
    assert mac.does(*TAKE, *GIVE) == (0, "en3 joins bridge0 at the next start\n")
    assert mac.members() == ["en2", "en3", "en4"]


def test_a_networksetup_that_wants_a_router_gets_none(mac: Mac) -> None:
    mac.write("arguments", "4")
    assert mac.does(*TAKE) == (0, "")
    assert mac.read("address raylab en3") == ADDRESS


def test_what_networksetup_says_is_told(mac: Mac) -> None:
    mac.write("stubborn", "")
    said = "the network service raylab en3 was not made on Thunderbolt 2: no such port\n"
    assert mac.does(*TAKE[1:3]) == (1, said)
    mac.write("arguments", "9")
    said = f"the network service raylab en3 did not get {ADDRESS}: wrong number of arguments\n"
    assert mac.does(TAKE[3]) == (1, said)
    said = "the network service Gone is not off: Gone is not recognized\n"
    assert mac.does(["switched", "Gone", "off"]) == (1, said)


def test_an_address_is_awaited_while_there_is_a_cable(mac: Mac) -> None:
    assert mac.does(TAKE[4]) == (0, "")
    mac.write("link en3", ADDRESS)
    assert mac.does(TAKE[4]) == (0, "")
    mac.write("link en3", "169.254.7.7")
    assert mac.does(TAKE[4]) == (1, f"en3 has a cable, and did not take {ADDRESS} within 1 s\n")


def test_the_facts_ask_a_mac_s_own_shell(mac: Mac) -> None:
    mac.does(*TAKE)
    mac.write("link en0", "192.168.1.20")
    found = mac.fact(NetworkPorts, interfaces=[])
    assert (found.given, found.before) == ({"en3": ADDRESS}, {"en3": ("bridge bridge0 1",)})
    assert mac.fact(NetworkPorts, interfaces=["en2", "en3"]).before == found.before
    assert mac.fact(ThunderboltPorts) == PortReport()
