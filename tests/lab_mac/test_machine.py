"""A simulated Mac as a machine: its disk, its power, its cable; and what `lab down` leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from .conftest import World


def test_macs_boot_at_once(macs: World) -> None:
    for name in ("m4", "m5"):
        macs.ok("power-off", name)
    began = time.monotonic()
    macs.ok("up", "m4", "m5", "m6")
    assert time.monotonic() - began < 30
    macs.ok("power-off", "m6")


def test_up_again_changes_nothing(macs: World) -> None:
    pid = (macs.folder / "macs/m4/init.pid").read_text()
    macs.ok("up", "m4")
    assert (macs.folder / "macs/m4/init.pid").read_text() == pid


def test_a_reboot_keeps_the_disk_and_forgets_the_kernel(macs: World) -> None:
    setup = """
        echo kept > kept; echo gone > /dev/shm/gone
        sudo sysctl iogpu.wired_limit_mb=9000
        sudo networksetup -setmanual 'Thunderbolt Bridge' 10.78.0.4 255.255.255.0
        sudo scutil --set HostName m4
    """
    assert macs.mac("m4", setup).returncode == 0
    macs.ok("reboot", "m4")
    after = "cat kept; ls /dev/shm; sysctl -n iogpu.wired_limit_mb; ipconfig getifaddr bridge0; hostname"
    assert macs.mac("m4", after).stdout == "kept\n0\n10.78.0.4\nm4\n"


def test_a_mac_restarts_and_halts_itself(macs: World) -> None:
    pid = macs.folder / "macs/m4/init.pid"
    before = pid.read_text()
    macs.mac("m4", "sudo shutdown -r now")
    _wait(lambda: pid.exists() and pid.read_text() not in ("", before))
    macs.ok("up", "m4")
    macs.mac("m4", "sudo shutdown -h now")
    _wait(lambda: _power(macs, "m4") == "off")
    macs.ok("power-on", "m4")
    assert _power(macs, "m4") == "on"


def test_a_pulled_plug_says_nothing_to_anybody(macs: World) -> None:
    macs.mac("m4", "echo kept > plug")
    port = "echo > /dev/tcp/10.77.0.14/22"
    assert macs.run("timeout", "2", "bash", "-c", port).returncode == 0
    macs.ok("power-off", "m4")
    assert _power(macs, "m4") == "off"
    # 124 is timeout's; 1 would be an answer, if only that nobody is home.
    unreachable = macs.run("timeout", "1", "bash", "-c", port)
    assert unreachable.returncode == 124 or "No route to host" in unreachable.stderr
    macs.ok("power-on", "m4")
    assert macs.mac("m4", "cat plug").stdout == "kept\n"


def test_a_killed_init_is_a_pulled_plug(macs: World) -> None:
    pid = int((macs.folder / "macs/m4/init.pid").read_text())
    macs.run("kill", "-9", str(pid))
    _wait(lambda: _power(macs, "m4") == "off")
    macs.ok("power-on", "m4")


def test_a_clock_of_its_own(macs: World) -> None:
    """Of what starts, and of what was running when the clock was set."""
    macs.ok("clock", "m4", "3600")
    macs.ok("reboot", "m4")
    loop = 'while (1) { open F, ">new"; print F time; close F; rename "new", "told"; select undef, undef, undef, .1 }'
    macs.mac("m4", f"perl -e '{loop}' >/dev/null 2>&1 &")

    def ahead(seconds: int) -> bool:
        told = macs.mac("m4", "date +%s; cat told").stdout.split()
        return len(told) == 2 and all(abs(int(each) - time.time() - seconds) < 60 for each in told)

    _wait(lambda: ahead(3600))
    macs.ok("clock", "m4", "-3600")
    _wait(lambda: ahead(-3600))
    assert abs(int(macs.mac("m5", "date +%s").stdout) - time.time()) < 60
    macs.ok("clock", "m4", "0")
    _wait(lambda: ahead(0))


def test_a_cut_cable_leaves_the_mac_running(macs: World) -> None:
    ping = ("client", "ping", "-c", "1", "-W", "1", "10.77.0.14")
    macs.ok(*ping)
    macs.ok("cut", "m4")
    assert macs.lab(*ping).returncode == 1
    assert _power(macs, "m4") == "on"
    assert " cut" in macs.ok("status")
    macs.ok("join", "m4")
    macs.ok(*ping)


def test_a_shaped_link_has_its_rate_both_ways(macs: World) -> None:
    size, seconds = 5_000_000, 2.0
    macs.ok("shape", "m4", "20mbit")
    assert " 20mbit" in macs.ok("status")
    began = time.monotonic()
    assert len(macs.lab("ssh", "m4", f"head -c {size} /dev/zero").stdout) == size
    assert time.monotonic() - began > 0.8 * seconds
    began = time.monotonic()
    assert macs.lab("ssh", "m4", "wc -c", stdin="x" * size).stdout.strip() == str(size)
    assert time.monotonic() - began > 0.8 * seconds
    macs.ok("shape", "m4", "none")
    assert "tbf" not in macs.run("tc", "-n", "raylab-lan", "qdisc", "show", "dev", "m4").stdout
    bad = macs.lab("shape", "m4", "fast")
    assert bad.returncode == 1
    assert "fast is no rate" in bad.stderr


def test_this_machines_own_link_is_shaped_both_ways(macs: World) -> None:
    def limits() -> list[bool]:
        devices = (["dev", "raylab0"], ["-n", "raylab-lan", "dev", "host"])
        shown = [macs.run("tc", *device[:-2], "qdisc", "show", *device[-2:]).stdout for device in devices]
        return ["rate 20Mbit" in text for text in shown]

    macs.ok("shape", "host", "20mbit")
    assert limits() == [True, True]
    macs.ok("shape", "host", "none")
    assert limits() == [False, False]


def test_baking_shares_what_one_mac_laid(macs: World) -> None:
    macs.mac("m5", "sudo mkdir -p /opt/raylab")  # a folder of its own, which hides what comes below it later
    macs.mac("m4", "sudo mkdir -p /opt/raylab/releases/one && echo shared | sudo tee /opt/raylab/releases/one/x")
    refused = macs.lab("bake", "m4", "/opt/raylab/releases")
    assert refused.returncode == 1
    assert "in use by m4, m5" in refused.stderr
    for name in ("m4", "m5"):
        macs.ok("halt", name)
    macs.ok("bake", "m4", "/opt/raylab/releases")
    macs.ok("wipe", "m4")
    macs.ok("up", "m4", "m5")
    read = "cat /opt/raylab/releases/one/x; ls /opt/raylab/releases"
    assert macs.mac("m4", read).stdout == macs.mac("m5", read).stdout == "shared\none\n"


def test_a_wiped_mac_has_a_new_host_key_and_no_disk(macs: World) -> None:
    macs.mac("m4", "echo old > old")
    key = (macs.folder / "known_hosts").read_text()
    assert macs.lab("wipe", "m4").returncode == 1
    macs.ok("power-off", "m4")
    macs.ok("wipe", "m4")
    macs.ok("up", "m4")
    assert macs.mac("m4", "ls").stdout == ""
    assert (macs.folder / "known_hosts").read_text() != key


def test_an_unknown_name_is_explained(world: World) -> None:
    ran = world.lab("reboot", "gama")
    assert (ran.returncode, ran.stderr) == (1, "lab: no simulated Mac is called gama: did you mean gamma?\n")


def test_a_network_of_that_range_is_refused(world: World) -> None:
    world.ok("down")
    world.run("ip", "link", "add", "other", "type", "bridge")
    world.run("ip", "addr", "add", "10.77.0.77/24", "dev", "other")
    world.run("ip", "link", "set", "other", "up")
    ran = world.lab("up", "m4")
    world.run("ip", "link", "del", "other")
    assert ran.returncode == 1
    assert "already routes 10.77.0.0/24" in ran.stderr


def test_down_leaves_nothing(world: World) -> None:
    world.ok("down")
    links = _links(world)
    world.ok("up", "m4", "m5")
    world.mac("m4", "nohup sleep 300 >/dev/null 2>&1 &")
    world.ok("down")
    assert _links(world) == links
    assert world.run("ip", "netns").stdout == ""
    assert str(world.folder) not in world.run("cat", "/proc/mounts").stdout
    assert _processes(world.folder) == []
    world.ok("down")


def _links(world: World) -> list[str]:
    return sorted(link["ifname"] for link in json.loads(world.run("ip", "-json", "link").stdout))


def _power(world: World, name: str) -> str:
    rows = [line.split() for line in world.ok("status").splitlines()]
    return next(row[1] for row in rows if row[0] == name)


def _processes(folder: Path) -> list[str]:
    """Processes whose command, environment or mounts are of the lab in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / name).read_bytes() for name in ("environ", "mounts")]
        except OSError:
            continue
        if any(str(folder).encode() in text for text in texts):
            found.append((process / "cmdline").read_text())
    return found


def _wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
