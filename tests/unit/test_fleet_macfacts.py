"""What a Mac prints, read: the formats of real Macs, with all their oddities."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fleet.macfacts import FACTS_SCRIPT, MacFacts

SW_VERS = "ProductName:\t\tmacOS\nProductVersion:\t\t26.5.1\nBuildVersion:\t\t25F80\n"
IFCONFIG = """\
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 36:00:00:00:00:01
\tinet6 fe80::1%en0 prefixlen 64 secured scopeid 0xb
\tinet 192.168.1.20 netmask 0xffffff00 broadcast 192.168.1.255
bridge0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tinet 10.0.0.1 netmask 0xffffff00 broadcast 10.0.0.255
"""
PMSET = """\
System-wide power settings:
Currently in use:
 Sleep On Power Button 1
 womp                 1
 autorestart          1
 sleep                0 (sleep prevented by powerd, coreaudiod)
 disksleep            0
"""
DF = """\
Filesystem     1024-blocks      Used Available Capacity iused      ifree %iused  Mounted on
/dev/disk3s1s1   971350180  10464100 812345678     2%  404167 4290000000    0%   /
"""
FIREWALL = "Firewall is {}. (State = {})\n"

SECTIONS = {
    "clock": "1795219200\n",
    "version": SW_VERS,
    "arch": "arm64\n",
    "memory": "68719476736\n",
    "cpus": "24\n",
    "chip": "Apple M2 Ultra\n",
    "model": "Mac14,14\n",
    "wired": "0\n",
    "addresses": IFCONFIG,
    "HostName": "alpha\n",
    "LocalHostName": "Alphas-Mac-Studio\n",
    "disk": DF,
    "filevault": "FileVault is Off.\n",
    "firewall": FIREWALL.format("disabled", 0),
    "power": PMSET,
    "login": "Remote Login: On\n",
    "draining": "",
    "installed": "/opt/raylab/releases/0123456789ab/complete\n/opt/raylab/weights/tiny/abcdef012345/\n",
}


def output(**changed: str) -> str:
    """What FACTS_SCRIPT prints on a Mac, with some sections changed."""
    return "".join(f"\n@@raylab {name}\n{text}" for name, text in (SECTIONS | changed).items())


def test_a_whole_mac() -> None:
    assert MacFacts.parse(output(), "alpha") == MacFacts(
        name="alpha",
        macos_version="26.5.1",
        macos_build="25F80",
        arch="arm64",
        chip="Apple M2 Ultra",
        model="Mac14,14",
        memory_bytes=64 * 1024**3,
        cpus=24,
        addresses=("127.0.0.1", "192.168.1.20", "10.0.0.1"),
        host_name="alpha",
        local_host_name="Alphas-Mac-Studio",
        disk_free_bytes=812345678 * 1024,
        disk_total_bytes=971350180 * 1024,
        clock_epoch=1795219200,
        filevault=False,
        firewall=False,
        sleep=0,
        autorestart=1,
        remote_login=True,
        draining=False,
        wired_limit_mb=0,
        installed=frozenset({"releases/0123456789ab", "weights/tiny/abcdef012345"}),
    )


def test_a_mac_that_tells_nothing() -> None:
    facts = MacFacts.parse("")
    assert (facts.memory_bytes, facts.addresses, facts.host_name, facts.sleep) == (0, (), None, None)
    assert (facts.filevault, facts.firewall, facts.remote_login, facts.installed) == (
        None,
        None,
        None,
        frozenset(),
    )


def test_every_command_may_fail() -> None:
    for name in SECTIONS:
        MacFacts.parse(output(**{name: ""}))


def test_a_mac_in_its_turn_says_so() -> None:
    assert MacFacts.parse(output(draining="/opt/raylab/state/draining\n")).draining


def test_a_host_name_that_is_not_set_is_none() -> None:
    # scutil says `HostName: not set` on stderr, which the script drops.
    assert MacFacts.parse(output(HostName="")).host_name is None


def test_sleep_with_and_without_those_who_prevent_it() -> None:
    assert MacFacts.parse(output(power=PMSET.replace(" (sleep prevented by powerd, coreaudiod)", ""))).sleep == 0
    assert MacFacts.parse(output(power=PMSET.replace("sleep                0 (", "sleep      10 ("))).sleep == 10


def test_a_power_setting_with_spaces_in_its_name_is_not_mistaken_for_another() -> None:
    text = " Sleep On Power Button 1\n sleep 5\n"
    assert MacFacts.parse(output(power=text)).sleep == 5


def test_a_mac_without_autorestart() -> None:
    assert MacFacts.parse(output(power=PMSET.replace(" autorestart          1\n", ""))).autorestart is None


def test_firewall_and_filevault_states() -> None:
    assert MacFacts.parse(output(firewall=FIREWALL.format("enabled", 1))).firewall is True
    assert MacFacts.parse(output(firewall=FIREWALL.format("enabled", 2))).firewall is True
    assert MacFacts.parse(output(filevault="FileVault is On.\n")).filevault is True
    assert MacFacts.parse(output(filevault="Error\n")).filevault is None


def test_remote_login_needs_root() -> None:
    refusal = "You need administrator access to run this tool... exiting!\n"
    assert MacFacts.parse(output(login=refusal)).remote_login is None
    assert MacFacts.parse(output(login="Remote Login: Off\n")).remote_login is False


def test_df_of_six_columns_is_read_too() -> None:
    text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/disk1 1000 400 600 40% /\n"
    facts = MacFacts.parse(output(disk=text))
    assert (facts.disk_total_bytes, facts.disk_free_bytes) == (1024000, 614400)


def test_carriage_returns_of_a_terminal_do_no_harm() -> None:
    assert MacFacts.parse(output().replace("\n", "\r\n"), "alpha") == MacFacts.parse(output(), "alpha")


def test_an_unknown_sysctl_is_no_number() -> None:
    assert MacFacts.parse(output(wired="sysctl: unknown oid\n")).wired_limit_mb is None


def test_the_script_prints_every_section_though_no_command_is_there(tmp_path: Path) -> None:
    script = FACTS_SCRIPT.replace("/usr/bin:/bin:/usr/sbin:/sbin", str(tmp_path))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    names = [line.removeprefix("@@raylab ") for line in done.stdout.splitlines() if line.startswith("@@")]
    assert names == list(SECTIONS)
    assert done.stderr == ""


def test_the_script_uses_no_command_that_a_mac_lacks() -> None:
    missing = ("getent", "timeout", "ip ", "ss ", "systemctl", "sha256sum", "python", "hostnamectl", "free ")
    assert not [word for word in missing if word in FACTS_SCRIPT]
