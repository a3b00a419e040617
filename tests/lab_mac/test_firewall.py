"""The firewall on a simulated Mac: rules of raylab's own in pf, which keep strangers out at every start."""

from __future__ import annotations

import json
import plistlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.firewall import ANCHOR, Filter, make_rules
from fleet.jobs import FIREWALL, firewall_job
from fleet.layout import ETC, FIREWALL_LABEL, FIREWALL_RULES, FIREWALL_TOKEN, LIBEXEC, LOG, plist_path
from fleet.settings import Fleet, Mac
from lab.network import namespace
from macos.facts import LaunchdJob
from macos.facts.pf import PacketFilter
from macos.operations.launchd import DIGEST, _job_calls, job_plist
from macos.shell import script_command

from .conftest import World

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (ROOT / "templates/libexec/raylab-firewall").read_text()
STRANGERS = ROOT / "tests/lab/strangers.py"
FLEET = Fleet((Mac("m4", "head", "10.77.0.14"), Mac("m5", "worker", "10.77.0.15")), name="lab")
M5 = FLEET.mac("m5")
# Of the table: two ports, the ends of its ranges; and two that are not in it.
CLOSED, OPEN = (6379, 8000, 10100, 10299, 28672, 32767), (8443, 10300)
ALL = [6379, 8000, 8443, 10100, 10299, 10300]
"""Those below 10400 when nothing is closed."""
LISTEN = """
import select, socket, sys
all = []
for port in map(int, sys.argv[1:]):
    taken = socket.socket(socket.AF_INET6)
    taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("::", port))
    taken.listen(128)
    all.append(taken)
print("ready", flush=True)
while True:
    for taken in select.select(all, [], [])[0]:
        taken.accept()[0].close()
"""


@contextmanager
def listening(world: World) -> Iterator[None]:
    """Something takes connections on m5, on every address that it has."""
    command = ["nsenter", "-t", str(world.pid), "--net", "--mount", "ip", "netns", "exec", namespace("m5")]
    command += [sys.executable, "-c", LISTEN, *map(str, (*CLOSED, *OPEN))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
        server.kill()


def root(world: World, *calls: list[str], scripts: tuple[str, ...] = ("files",), **variables: str | int) -> None:
    """Functions of raylab's own scripts on m5, as root; they must succeed in silence."""
    command = script_command(scripts, list(calls), [], variables)
    ran = world.lab("ssh", "m5", "sudo", "sh", "-s", stdin=str(command.connector_arguments["_stdin"]))
    assert (ran.returncode, ran.stderr) == (0, "")


def found(world: World) -> Filter:
    fact = PacketFilter()
    return fact.process(world.mac("m5", f"sudo sh <<'END'\n{fact.command()}\nEND").stdout.splitlines())


def lay(world: World, fleet: Fleet = FLEET) -> None:
    """The program and the rules, as the role lays them."""
    folders = (["directory", path, "root", "wheel", "0755"] for path in (LIBEXEC, ETC, LOG))
    rules = make_rules(fleet, M5).text
    files = ((f"{LIBEXEC}/raylab-firewall", "0755", PROGRAM), (FIREWALL_RULES, "0644", rules))
    root(world, *folders, *(["file", path, "root", "wheel", mode, text] for path, mode, text in files))


def load(world: World) -> None:
    ran = world.lab("ssh", "m5", "sudo", *FIREWALL)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def job(world: World) -> list[str]:
    """What the operation launchd.job does, by name; done for real."""
    fact = LaunchdJob()
    text = world.mac("m5", f"sudo sh <<'END'\n{fact.command(FIREWALL_LABEL)}\nEND").stdout
    wanted = job_plist(FIREWALL_LABEL, firewall_job().plist, [PROGRAM])
    content = plistlib.dumps(wanted, sort_keys=True).decode()
    digest = wanted["EnvironmentVariables"][DIGEST]
    calls = _job_calls(FIREWALL_LABEL, content, digest, False, fact.process(text.splitlines()))
    variables: dict[str, str | int] = {"drain": 10, "settle": 0, "patience": 20, "logs": ""}
    path = plist_path(FIREWALL_LABEL)
    root(world, *calls, scripts=("files", "launchd"), label=FIREWALL_LABEL, plist=path, **variables)
    return [call[0] for call in calls]


def give_back(world: World) -> None:
    root(world, ["flushed", ANCHOR], ["released"], scripts=("files", "firewall"), token=FIREWALL_TOKEN)


def strangers(world: World, ports: str = "6000-10400") -> list[int]:
    """The ports of m5, of these, that answer the LAN's machine outside of the fleet."""
    ran = world.lab("client", sys.executable, str(STRANGERS), "--json", "--ports", ports, M5.node_ip)
    assert ran.returncode == 0, ran.stderr
    return list(json.loads(ran.stdout)[M5.node_ip]["answers"])


def reached(world: World, name: str, address: str) -> list[int]:
    """Of the ports with something behind them, those that a Mac reaches."""
    ports = (*CLOSED, *OPEN)
    script = "".join(f"nc -z -G 2 {address} {port} 2>/dev/null && echo {port}\n" for port in ports)
    return [int(line) for line in world.mac(name, script).stdout.split()]


def wait(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline


@pytest.fixture
def walled(macs: World) -> Iterator[World]:
    """m5 has the rules; at the end it has nothing of them."""
    lay(macs)
    load(macs)
    yield macs
    give_back(macs)


def test_strangers_reach_what_is_not_in_the_table_and_the_fleet_reaches_all(macs: World) -> None:
    with listening(macs):
        assert strangers(macs) == ALL
        lay(macs)
        load(macs)
        assert strangers(macs, "1-65535") == [22, *OPEN]
        assert reached(macs, "m4", M5.node_ip) == [*CLOSED, *OPEN]
        # Its own address is loopback to a Mac.
        assert reached(macs, "m5", M5.node_ip) == reached(macs, "m5", "127.0.0.1") == [*CLOSED, *OPEN]
        give_back(macs)
        assert strangers(macs) == ALL
    assert found(macs) == Filter(evaluated=True)


def test_a_stranger_s_ipv6_is_no_way_in(walled: World) -> None:
    def over_ipv6(port: int) -> bool:
        listed = walled.run("ip", "-n", namespace("m5"), "-6", "-o", "addr", "show", "en0", "scope", "link").stdout
        address = listed.split()[3].partition("/")[0]
        code = f"import socket; socket.create_connection(('{address}%en0', {port}), 2)"
        return walled.lab("client", sys.executable, "-c", code).returncode == 0

    with listening(walled):
        # A new link's address is tried out for a second or two.
        wait(lambda: over_ipv6(OPEN[0]))
        assert not any(over_ipv6(port) for port in CLOSED)


def test_a_second_run_changes_nothing(walled: World) -> None:
    before = found(walled)
    assert before.keeps(make_rules(FLEET, M5))
    load(walled)
    assert found(walled) == before
    assert len(walled.mac("m5", "sudo pfctl -s References 2>/dev/null").stdout.splitlines()) == 3


def test_what_somebody_takes_out_is_seen_and_comes_back(walled: World) -> None:
    for change in ("-d", f"-a {ANCHOR} -F rules", f"-X $(sudo cat {FIREWALL_TOKEN})"):
        walled.mac("m5", f"sudo pfctl {change}")
        assert not found(walled).keeps(make_rules(FLEET, M5)), change
        load(walled)
        assert found(walled).keeps(make_rules(FLEET, M5)), change


def test_others_who_want_pf_keep_it(walled: World) -> None:
    walled.mac("m5", "sudo pfctl -E; echo 'block drop in quick proto tcp from any to any port 99' >other")
    walled.mac("m5", "sudo pfctl -a com.apple/other -f other")
    give_back(walled)
    seen = found(walled)
    assert (seen.enabled, seen.held, seen.digests) == (True, False, frozenset())
    assert "port = 99" in walled.mac("m5", "sudo pfctl -a com.apple/other -s rules").stdout
    walled.mac("m5", "sudo pfctl -a com.apple/other -F rules; sudo pfctl -d")


def test_another_mac_in_the_inventory_is_let_in_by_the_new_rules(walled: World) -> None:
    with listening(walled):
        wider = replace(FLEET, allow=("10.77.0.50/32",))
        assert not found(walled).keeps(make_rules(wider, M5))
        lay(walled, wider)
        load(walled)
        assert strangers(walled) == ALL
        assert found(walled).keeps(make_rules(wider, M5))


def test_main_rules_that_do_not_lead_to_ours_are_seen(walled: World) -> None:
    walled.mac("m5", "grep -v '^anchor' /etc/pf.conf >other; sudo pfctl -f other")
    with listening(walled):
        assert strangers(walled) == ALL
    seen = found(walled)
    assert (seen.evaluated, seen.keeps(make_rules(FLEET, M5))) == (False, True)
    walled.mac("m5", "sudo pfctl -f /etc/pf.conf")
    assert found(walled).evaluated


def test_the_rules_come_back_at_every_start_until_the_job_is_gone(macs: World) -> None:
    lay(macs)
    assert job(macs) == ["file", "enable", "load", "finishes"]
    assert job(macs) == []
    assert found(macs).lasting
    macs.ok("reboot", "m5")
    # sshd may be up before the job has run.
    wait(lambda: found(macs).keeps(make_rules(FLEET, M5)))
    with listening(macs):
        assert strangers(macs) == list(OPEN)
    assert job(macs) == []
    macs.mac("m5", f"sudo launchctl bootout system/{FIREWALL_LABEL}; sudo rm {plist_path(FIREWALL_LABEL)}")
    give_back(macs)
    macs.ok("reboot", "m5")
    assert found(macs) == Filter(evaluated=True)
