"""A Mac leaves the fleet, and is what it was before raylab; a change that cuts it off undoes itself."""

from __future__ import annotations

import plistlib
import subprocess
from collections.abc import Iterator

import pytest

from fleet.layout import ACCOUNT, PREFIX, UNDO, UNDO_LABEL, plist_path
from macos.operations.undo import _JOB, GRACE_S, _variables, confirmation
from macos.shell import script_command, script_program

from .conftest import World
from .fleet_of_macs import FleetOfMacs, wait_for

REMOVE = "deploy/remove.py"
# What the Mac's own commands say of its settings.
ANSWERS = f"""
    pmset -g custom; scutil --get HostName 2>&1; sudo sysctl -n iogpu.wired_limit_mb
    tmutil isexcluded {PREFIX}/weights /opt/others; dscl . -list /Users; dscl . -list /Groups
    networksetup -listallnetworkservices | grep -v '^\\*raylab'; ifconfig bridge0 | grep member:
    sudo launchctl list | awk '{{ print $3 }}' | sort; sudo launchctl print-disabled system | grep -v enabled
    cat /etc/hosts; ls /opt /tmp; ps -axo command= | grep '^sleep 100'
"""


@pytest.fixture
def fleet(world: World) -> Iterator[FleetOfMacs]:
    """Two new Macs with a cable between them, which their owner has set up to taste."""
    world.ok("up", "m4", "m5")
    for name in ("m4", "m5"):
        world.ok("power-off", name)
        world.ok("wipe", name)
    world.ok("up", "m4", "m5")
    world.ok("cable", "m4:1", "m5:2")
    tastes = """
        sudo pmset -a sleep 5 womp 0; sudo scutil --set HostName mine.example; sudo sysctl iogpu.wired_limit_mb=7000
        echo '10.0.0.9 printer' | sudo tee -a /etc/hosts
        sudo mkdir -p /opt/others; sudo tmutil addexclusion /opt/others
    """
    assert world.mac("m5", tastes).returncode == 0
    made = FleetOfMacs(world)
    made.write()
    yield made
    world.ok("join", "m4")
    for name in ("m4", "m5"):
        world.ok("power-off", name)
        world.ok("wipe", name)


def live(fleet: FleetOfMacs, name: str) -> None:
    """What raylab leaves about while it runs."""
    traces = f"""
        cd /; sudo -u {ACCOUNT} sh -c 'sleep 1000 & sleep 1001 &' </dev/null >/dev/null 2>&1
        sudo -u {ACCOUNT} sh -c 'mkdir -p /tmp/engine/deep /var/tmp/cache; echo x >/tmp/engine/deep/socket'
        echo theirs >/tmp/theirs; mkdir /tmp/raylab-0123456789ab /tmp/raylab-mine
        sudo mkdir -p {PREFIX}/weights/model {PREFIX}/releases/abc/env {PREFIX}/later
        echo x | sudo tee {PREFIX}/weights/model/file {PREFIX}/.hidden >/dev/null
    """
    assert fleet.world.mac(name, traces).returncode == 0


def test_a_mac_is_what_it_was_before(fleet: FleetOfMacs) -> None:
    answers = {name: fleet.world.mac(name, ANSWERS).stdout for name in ("m4", "m5")}
    before = {name: fleet.disk(name, fleet.touched(name)) for name in ("m4", "m5")}
    fleet.lay()
    assert fleet.world.mac("m5", "sysctl -n iogpu.wired_limit_mb; hostname; ls /opt/raylab/state/before").stdout == (
        "9000\nm5\nkernel.iogpu.wired_limit_mb\nname.HostName\n"
        "power.c.autorestart\npower.c.disksleep\npower.c.displaysleep\npower.c.sleep\npower.c.womp\n"
    )
    assert fleet.world.mac("m4", f"ls {UNDO} {plist_path(UNDO_LABEL)}").stdout == ""
    # A second time, nothing changes what was recorded.
    fleet.lay()
    live(fleet, "m4")
    live(fleet, "m5")

    for options, said in (((), "every Mac of the fleet"), (("--limit", "m4"), "m4 is the head, and m5 would stay")):
        refused = fleet.pyinfra(REMOVE, *options)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert fleet.seen("m5", f"{PREFIX}/weights/model/file").exists()

    done = fleet.pyinfra(REMOVE, "--limit", "m5")
    assert done.returncode == 0, done.stderr
    assert f"m5 ({fleet.world.folder}/project/fleet.py:2)" in done.stderr
    same(fleet, "m5", before["m5"], answers["m5"])
    again = fleet.pyinfra(REMOVE, "--limit", "m5")
    assert (again.returncode, "m5: nothing of raylab is there" in again.stderr) == (0, True)

    # The head, which nobody else needs any more. Its plug is pulled as soon as the first folders are gone.
    removing = fleet.starts(REMOVE, "--data", "all=1")
    wait_for("the first folders go", lambda: not fleet.seen("m4", f"{PREFIX}/libexec").exists())
    fleet.world.ok("power-off", "m4")
    removing.terminate()
    removing.communicate(timeout=60)
    fleet.world.ok("power-on", "m4")
    assert fleet.seen("m4", PREFIX).exists()
    whole = fleet.pyinfra(REMOVE, "--data", "all=1")
    assert whole.returncode == 0, whole.stderr
    same(fleet, "m4", before["m4"], answers["m4"])


def same(fleet: FleetOfMacs, name: str, before: dict[str, tuple[object, ...]], answers: str) -> None:
    """Nothing on the disk, and nothing that the Mac says, differs from before."""
    assert "theirs" in fleet.world.mac(name, "ls /tmp; rm -r /tmp/theirs /tmp/raylab-mine").stdout
    assert fleet.world.mac(name, ANSWERS).stdout == answers
    now = fleet.touched(name)
    assert fleet.disk(name, set(before)) == before
    others = now - set(before)
    assert fleet.disk(name, others) == fleet.new(name, others)


def test_weights_stay_for_a_mac_that_comes_back(fleet: FleetOfMacs) -> None:
    fleet.lay()
    live(fleet, "m5")
    # Weights are links to objects; an object that nothing else links to was a release's.
    weights = f"""
        cd {PREFIX}/depot && echo weights | sudo tee {"a" * 64} >/dev/null && sudo cp {"a" * 64} {"b" * 64}
        sudo ln {"a" * 64} ../weights/model/weights; sudo touch -t 200101010000.00 {"a" * 64} {"b" * 64}
    """
    fleet.world.mac("m5", weights)
    done = fleet.pyinfra(REMOVE, "--limit", "m5", "--data", "keep_weights=1")
    assert done.returncode == 0, done.stderr
    left = fleet.world.mac("m5", f"cd {PREFIX} && find . -type f | sort; tmutil isexcluded {PREFIX}/weights").stdout
    assert left.splitlines() == [
        "./depot/.metadata_never_index", f"./depot/{'a' * 64}", "./weights/.metadata_never_index",
        "./weights/model/file", "./weights/model/weights", f"[Excluded]    {PREFIX}/weights",
    ]  # fmt: skip


# Changes that undo themselves

CONTROL = "echo > /dev/tcp/10.77.0.14/22"


def reachable(fleet: FleetOfMacs) -> bool:
    return fleet.world.run("timeout", "1", "bash", "-c", CONTROL).returncode == 0


def guarded(grace: int, change: list[str], back: list[str]) -> str:
    """A script that makes a change which `back` undoes."""
    variables = {**_variables(), "grace": grace}
    program = script_program(["files", "undo"], "watched", [["false"], back], variables)
    calls = [["armed", program, plistlib.dumps(_JOB).decode()], ["extended"], change, ["extended"]]
    return str(script_command(["files", "undo"], calls, [], variables).connector_arguments["_stdin"])


def test_a_change_that_cuts_the_mac_off_is_undone(fleet: FleetOfMacs) -> None:
    away = ["networksetup", "-setmanual", "Ethernet", "10.99.0.14", "255.255.255.0"]
    script = guarded(10, away, ["networksetup", "-setdhcp", "Ethernet"])
    ssh = ["nsenter", "-t", str(fleet.world.pid), "--net", "--mount"]
    with subprocess.Popen([*ssh, *_ssh(fleet)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as session:
        assert session.stdin
        session.stdin.write(script)
        session.stdin.close()
        wait_for("the Mac is cut off", lambda: not reachable(fleet), 20)
        assert wait_for("the Mac is back", lambda: reachable(fleet), 60) > 5
        session.kill()
    # Who comes now is told that it came too late.
    late = fleet.world.lab("ssh", "m4", "sudo", "sh", "-s", stdin=str(confirmation().connector_arguments["_stdin"]))
    assert (late.returncode, "the change is undone" in late.stderr) == (1, True)


def _ssh(fleet: FleetOfMacs) -> list[str]:
    options = f"-F /dev/null -i {fleet.world.folder}/keys/id_ed25519 -o StrictHostKeyChecking=no -o LogLevel=ERROR"
    return ["ssh", *options.split(), "-o", "UserKnownHostsFile=/dev/null", "admin@10.77.0.14", "sudo", "sh", "-s"]


def test_a_change_that_is_confirmed_stays(fleet: FleetOfMacs) -> None:
    script = guarded(60, ["touch", "/opt/changed"], ["rm", "/opt/changed"])
    assert fleet.world.lab("ssh", "m4", "sudo", "sh", "-s", stdin=script).returncode == 0
    assert "io.raylab.undo" in fleet.world.mac("m4", "sudo launchctl list").stdout
    confirm = str(confirmation().connector_arguments["_stdin"])
    assert fleet.world.lab("ssh", "m4", "sudo", "sh", "-s", stdin=confirm).returncode == 0
    # Nothing is left that could undo it.
    assert "io.raylab.undo" not in fleet.world.mac("m4", "sudo launchctl list").stdout
    assert not fleet.seen("m4", UNDO).exists()
    assert not fleet.seen("m4", plist_path(UNDO_LABEL)).exists()
    assert fleet.seen("m4", "/opt/changed").exists()


def test_a_restart_in_between_does_not_forget_to_undo(fleet: FleetOfMacs) -> None:
    script = guarded(5, ["touch", "/opt/changed"], ["rm", "/opt/changed"])
    assert fleet.world.lab("ssh", "m4", "sudo", "sh", "-s", stdin=script).returncode == 0
    fleet.world.ok("power-off", "m4")
    fleet.world.ok("power-on", "m4")
    wait_for("the change is undone", lambda: not fleet.seen("m4", "/opt/changed").exists(), 30)
    wait_for("its job is gone", lambda: not fleet.seen("m4", plist_path(UNDO_LABEL)).exists(), 30)


def test_a_mac_that_goes_silent_in_a_change_gives_its_ports_back(fleet: FleetOfMacs) -> None:
    members = fleet.world.mac("m4", "ifconfig bridge0 | grep member:").stdout
    converge = fleet.starts(str(fleet.world.folder / "project/lay.py"))
    wait_for("the change begins", lambda: fleet.seen("m4", f"{PREFIX}/state/thunderbolt/en2").exists(), 60)
    fleet.world.ok("cut", "m4")
    record = fleet.seen("m4", f"{PREFIX}/state/thunderbolt/en2")
    wait_for("the change is undone", lambda: not record.exists(), GRACE_S + 30)
    fleet.world.ok("join", "m4")
    assert sorted(fleet.world.mac("m4", "ifconfig bridge0 | grep member:").stdout) == sorted(members)
    _, said = converge.communicate(timeout=200)
    assert converge.returncode == 1, said
