"""`lab`: the simulated Macs, for people."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab import bake, cables, clock, hardware, machine, network
from lab.errors import LabError
from lab.hardware import Hardware
from lab.machine import Power
from lab.paths import MacPaths, lab_dir

DEFAULT = ("alpha", "beta", "gamma")
APT_PACKAGES = Path(__file__).with_name("apt-packages.txt")

Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 1 with one line on standard error for what a person can mend."""
    parsed = _parser().parse_args(arguments)
    try:
        if os.geteuid() and parsed.action is not _setup:
            raise LabError("the lab makes namespaces and mounts: run it as root")
        action: Callable[[Arguments], int] = parsed.action
        return action(parsed)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Simulated Macs on a LAN of their own.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, action: Callable[[Arguments], int], text: str, *words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        for word in words:
            many = {"NAMES": "*", "COMMAND": argparse.REMAINDER}.get(word)
            if many:
                command.add_argument(word.lower(), nargs=many, metavar=word)
            else:
                command.add_argument(word.lower(), metavar=word)
        return command

    add("setup", _setup, "name the Debian packages that this machine lacks")
    up = add("up", _up, f"make the LAN and boot Macs (without names: {', '.join(DEFAULT)})", "NAMES")
    up.add_argument("--bare", action="store_true", help="new Macs without the shared layer: nothing is on them")
    add("down", _down, "end every Mac and take down the LAN; disks stay")
    add("status", _status, "show every Mac")
    add("reboot", _reboot, "restart a Mac, its jobs stopped first", "NAME")
    add("halt", _halt, "shut a Mac down, its jobs stopped first", "NAME")
    add("power-off", _power_off, "pull a Mac's plug", "NAME")
    add("power-on", _power_on, "switch a Mac on", "NAME")
    add("ssh", _ssh, "log in to a Mac, or run a command there, as admin", "NAME", "COMMAND")
    add("cut", _cut, "pull a Mac's LAN cable", "NAME")
    add("join", _join, "put a Mac's LAN cable back", "NAME")
    add("shape", _shape, "limit a Mac's LAN link, or this machine's (host): 100mbit, 1gbit, none", "NAME", "RATE")
    ahead = "set a Mac's clock so many SECONDS ahead of this machine's (-90: behind; 0), from its next start on, "
    late = add("clock", _clock, f"{ahead}or at once when it has started with a clock of its own", "NAME")
    late.add_argument("seconds", type=int, metavar="SECONDS")
    port = "NAME, or NAME:PORT"
    add("cable", _cable, f"plug in a Thunderbolt cable ({port}; without, the first free port)", "ONE", "OTHER")
    add("uncable", _uncable, f"pull the Thunderbolt cables between two Macs ({port}: only that one)", "ONE", "OTHER")
    add("client", _client, "run a command on the LAN machine outside the fleet", "COMMAND")
    add("bake", _bake, "move a folder of a Mac that is off into the layer that all Macs share", "NAME", "PATH")
    add(
        "wipe",
        _wipe,
        "forget the disks of Macs that are off (without names: all, and the shared layer)",
        "NAMES",
    )
    return parser


def _packages() -> list[str]:
    return [line for line in APT_PACKAGES.read_text().split("\n") if line and not line.startswith("#")]


def missing_packages() -> list[str]:
    """The Debian packages of apt-packages.txt that are not installed."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *_packages()],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" ok installed")}
    return [name for name in _packages() if name not in installed]


def _setup(_: Arguments) -> int:
    missing = missing_packages()
    if missing:
        raise LabError(f"this machine lacks Debian packages: apt-get install -y {' '.join(missing)}")
    print("everything that the lab needs is installed")
    return 0


def _up(arguments: Arguments) -> int:
    began = time.monotonic()
    macs = [hardware.find(name) for name in arguments.names if name != hardware.CLIENT]
    if not arguments.names:
        macs = [hardware.find(name) for name in DEFAULT]
    missing = missing_packages()
    if missing:
        raise LabError(f"this machine lacks Debian packages: apt-get install -y {' '.join(missing)}")
    lab_dir().mkdir(exist_ok=True)
    network.up()
    machine.mount_base()
    for mac in macs:
        machine.create(mac, bare=arguments.bare)
    machine.write_known_hosts(hardware.load().values())
    machine.start(macs)
    names = ", ".join(mac.name for mac in macs)
    print(f"up in {time.monotonic() - began:.1f} s: {names}")
    return 0


def _down(_: Arguments) -> int:
    for mac in hardware.load().values():
        machine.pull_plug(mac)
    network.down()
    machine.unmount_base()
    return 0


def _status(_: Arguments) -> int:
    row = "{:<9}{:<9}{:<12}{:<22}{:>7}  {:<9}{}"
    print(row.format("MAC", "POWER", "ADDRESS", "CHIP", "MEMORY", "MACOS", "LINK"))
    for mac in hardware.load().values():
        if not MacPaths(mac.name).home.exists():
            continue
        link = network.Link.read(mac.name)
        cable = "cut" if link.cut else link.rate or "joined"
        memory = f"{mac.memory_gb} GB"
        print(row.format(mac.name, machine.power(mac).value, mac.address, mac.chip, memory, mac.macos, cable))
    for one, other in cables.read():
        print(f"Thunderbolt cable: {one} ({one.interface}) – {other} ({other.interface})")
    state = "up" if network.LAN in network.namespaces() else "down"
    print(f"LAN {network.SUBNET} is {state}")
    return 0


def _reboot(arguments: Arguments) -> int:
    began = time.monotonic()
    machine.reboot(hardware.find(arguments.name))
    print(f"{arguments.name} is on again after {time.monotonic() - began:.1f} s")
    return 0


def _halt(arguments: Arguments) -> int:
    machine.halt(hardware.find(arguments.name))
    return 0


def _power_off(arguments: Arguments) -> int:
    machine.pull_plug(hardware.find(arguments.name))
    return 0


def _power_on(arguments: Arguments) -> int:
    mac = hardware.find(arguments.name)
    if not MacPaths(mac.name).home.exists() or network.LAN not in network.namespaces():
        raise LabError(f"{mac.name} does not exist yet: lab up {mac.name}")
    machine.start([mac])
    return 0


def _ssh(arguments: Arguments) -> int:
    mac = hardware.find(arguments.name)
    machine.init_pid(mac.name)
    return subprocess.run(machine.ssh_command(mac, arguments.command), check=False).returncode


def _existing(name: str) -> str:
    mac: Hardware = hardware.find(name)
    if not MacPaths(mac.name).home.exists():
        raise LabError(f"{name} does not exist yet: lab up {name}")
    return mac.name


def _cut(arguments: Arguments) -> int:
    network.cut(_existing(arguments.name))
    return 0


def _join(arguments: Arguments) -> int:
    network.join(_existing(arguments.name))
    return 0


def _shape(arguments: Arguments) -> int:
    if arguments.name == "host":
        network.shape_host(arguments.rate)
    else:
        network.shape(_existing(arguments.name), arguments.rate)
    return 0


def _clock(arguments: Arguments) -> int:
    clock.put(_existing(arguments.name), arguments.seconds)
    return 0


def _cable(arguments: Arguments) -> int:
    one, other = cables.plug(arguments.one, arguments.other)
    print(f"{one} ({one.interface}) – {other} ({other.interface})")
    return 0


def _uncable(arguments: Arguments) -> int:
    cables.pull(arguments.one, arguments.other)
    return 0


def _client(arguments: Arguments) -> int:
    where = network.namespace(hardware.CLIENT)
    if where not in network.namespaces():
        raise LabError("the lab is down: lab up")
    if not arguments.command:
        raise LabError("say what to run: lab client curl -k https://10.77.0.11:8443/healthz")
    return subprocess.run(["ip", "netns", "exec", where, *arguments.command], check=False).returncode


def _bake(arguments: Arguments) -> int:
    mac = hardware.find(arguments.name)
    running = [other.name for other in hardware.load().values() if machine.power(other) is not Power.OFF]
    if running:
        raise LabError(f"the shared layer is in use by {', '.join(running)}: halt them first")
    print(f"every Mac has {bake.bake(mac.name, re.sub(r'/+$', '', arguments.path))} now")
    return 0


def _wipe(arguments: Arguments) -> int:
    for mac in [hardware.find(name) for name in arguments.names] or list(hardware.load().values()):
        machine.wipe(mac)
    if not arguments.names:
        machine.wipe_shared()
    machine.write_known_hosts(hardware.load().values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
