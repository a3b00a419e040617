"""What macOS's commands print and exit with on a simulated Mac, row by row."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from .conftest import World


@dataclass(frozen=True)
class Row:
    """A command line, and patterns that all of its output, all of its errors and its status must match."""

    command: str
    out: str = ""
    err: str = ""
    status: int = 0


NOT_FOUND = r"<dscl_cmd> DS Error: -14136 \(eDSRecordNotFound\)\n"
ALTQ = "No ALTQ support in kernel\nALTQ related functions disabled\n"
FLUSHING = "pfctl: Use of -f option.*\npresent in.*\nSee /etc/pf.conf for further details.\n\n"
FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
STUB = r"xcode-select: note: No developer tools were found(.|\n)*"
SYSADMINCTL = r"\S+ \S+ sysadminctl\[\d+:\d+\] "

ROWS = [
    Row("sw_vers", r"ProductName:\t\tmacOS\nProductVersion:\t\t26\.5\.1\nBuildVersion:\t\t25F80\n"),
    Row("sw_vers -productVersion", r"26\.5\.1\n"),
    Row("uname", "Darwin\n"),
    Row("uname -m", "arm64\n"),
    Row("uname -sr", r"Darwin 25\.5\.0\n"),
    Row("uname -z", "", r"usage: .*\n", 1),
    Row("arch", "arm64\n"),
    Row("sysctl -n hw.memsize hw.ncpu machdep.cpu.brand_string", "549755813888\n32\nApple M3 Ultra\n"),
    Row("sysctl hw.model", "hw.model: Mac15,14\n"),
    Row("sysctl hw.nosuch", "", "sysctl: unknown oid 'hw.nosuch'\n", 1),
    Row("sysctl iogpu.wired_limit_mb=1000", "", ".*: Operation not permitted\n", 1),
    Row("sudo sysctl iogpu.wired_limit_mb=114688", "iogpu.wired_limit_mb: 0 -> 114688\n"),
    Row("sysctl -n iogpu.wired_limit_mb", "114688\n"),
    Row("sudo sysctl hw.memsize=1", "", ".*read only\n", 1),
    Row(
        "vm_stat | head -2",
        r"Mach Virtual Memory Statistics: \(page size of 16384 bytes\)\nPages free: +\d+\.\n",
    ),
    Row("scutil --get HostName", "", "HostName: not set\n", 1),
    Row("scutil --get LocalHostName", "m5\n"),
    Row("hostname", r"m5\.local\n"),
    Row("scutil --set HostName m5", "", ".+\n", 1),
    Row("sudo scutil --set HostName m5 && scutil --get HostName && hostname", "m5\nm5\n"),
    Row("sudo scutil --set HostName '' && hostname", r"m5\.local\n"),
    Row("dscacheutil -q host -a name localhost", r"name: localhost\nip_address: 127\.0\.0\.1\n\n"),
    Row(
        "pmset -g | head -3",
        "System-wide power settings:\nCurrently in use:\n Sleep On Power Button 1\n",
    ),
    Row("pmset -a sleep 0", "", "'pmset' must be run as root...\n", 77),
    Row(
        "sudo pmset -a sleep 0 disksleep 0 womp 1 autorestart 1"
        " && pmset -g | grep -E ' (womp|autorestart|sleep) '",
        " autorestart          1\n sleep                0\n womp                 1\n",
    ),
    Row("sudo pmset -a slep 0", "", "Usage: pmset <options>\n", 64),
    Row(
        "networksetup -listallhardwareports",
        r"\nHardware Port: Ethernet\nDevice: en0\nEthernet Address: [0-9a-f:]{17}\n"
        r"(\nHardware Port: Thunderbolt \d\nDevice: en\d\nEthernet Address: 36:[0-9a-f:]{14}\n){6}"
        r"\nHardware Port: Thunderbolt Bridge\nDevice: bridge0\nEthernet Address: 36:[0-9a-f:]{14}\n"
        r"\nVLAN Configurations\n=+\n",
    ),
    Row("networksetup -setmanual Nope 10.0.0.1 255.255.255.0", "", ".*admin privileges.\n", 14),
    Row(
        "sudo networksetup -setmanual Nope 10.0.0.1 255.255.255.0",
        "Nope is not a recognized network service.\n",
        r"\*\* Error: The parameters were not valid.\n",
        4,
    ),
    Row(
        "sudo networksetup -setmanual 'Thunderbolt Bridge' 10.78.0.2 255.255.255.0"
        " && ipconfig getifaddr bridge0",
        r"10\.78\.0\.2\n",
    ),
    Row("ipconfig getifaddr en0", r"10\.77\.0\.15\n"),
    Row("ipconfig getifaddr en9", status=1),
    Row("ifconfig en0 | grep 'inet '", r"\tinet 10\.77\.0\.15 netmask 0xffffff00 broadcast 10\.77\.0\.255\n"),
    Row("ifconfig -l", "lo0 en0 bridge0 en2 en3 en4 en5 en6 en7\n"),
    Row("ifconfig en2 | tail -1", "\tstatus: inactive\n"),
    Row(
        "networksetup -listnetworkserviceorder",
        r"An asterisk \(\*\) denotes that a network service is disabled\.\n"
        r"\(1\) Ethernet\n\(Hardware Port: Ethernet, Device: en0\)\n\n"
        r"\(2\) Thunderbolt Bridge\n\(Hardware Port: Thunderbolt Bridge, Device: bridge0\)\n\n",
    ),
    Row("networksetup -createnetworkservice X 'Thunderbolt 6'", "", ".*admin privileges.\n", 14),
    Row("sudo networksetup -createnetworkservice X 'Thunderbolt 7'", "Thunderbolt 7 is not .*\n", ".+\n", 4),
    Row(
        "s='sudo networksetup'; $s -createnetworkservice X 'Thunderbolt 6'; $s -createnetworkservice X Ethernet"
        "; $s -removenetworkservice X; $s -setnetworkserviceenabled X off; networksetup -listallnetworkservices",
        r"X is already the name .*\nCannot delete X: .*\nAn asterisk .*\nEthernet\nThunderbolt Bridge\n\*X\n",
        "(.+\n){2}",
    ),
    Row(
        "s='sudo networksetup'; $s -createnetworkservice Y 'Thunderbolt 6'; $s -removenetworkservice X"
        "; networksetup -getnetworkserviceenabled Y; networksetup -listallnetworkservices | tail -1",
        "Enabled\nY\n",
    ),
    Row(
        "f=/Library/Preferences/SystemConfiguration/preferences.plist; b=/usr/libexec/PlistBuddy"
        "; i=:VirtualNetworkInterfaces:Bridge:bridge0:Interfaces"
        "; sudo $b -c \"Delete $i:5\" $f; sudo $b -c \"Delete $i:5\" $f; sudo $b -c \"Add $i:5 string en7\" $f"
        "; $b -c \"Print $i\" $f | tail -2; $b -c \"Print $i:0\" $f; $b -c 'Print :No' $f",
        "    en7\n}\nen2\n",
        'Delete: Entry, ".*", Does Not Exist\nPrint: Entry, ":No", Does Not Exist\n',
        1,
    ),
    Row("ifconfig en9", "", "ifconfig: interface en9 does not exist\n", 1),
    Row("dscl . -read /Users/_nobody_here", "", NOT_FOUND, 56),
    Row("dscl . -read /Users/admin UniqueID UserShell", "UniqueID: 501\nUserShell: /bin/zsh\n"),
    Row("dscl . -read /Users/admin IsHidden", "No such key: IsHidden\n"),
    Row("dscl . -create /Users/x UniqueID 600", "", r".*\(eDSPermissionError\)\n", 40),
    Row("grep -c admin: /etc/passwd", "0\n", status=1),
    Row("id -un; id -u; id -gn", "admin\n501\nstaff\n"),
    Row(
        "sudo sysadminctl -addUser wrong -UID 250 -GID 250 -roleAccount; id wrong",
        "",
        SYSADMINCTL + "(.|\n)*no such user\n",
        1,
    ),
    Row("sudo sysadminctl -addUser _x -UID 450 -GID 450 -roleAccount", "", SYSADMINCTL + ".*\n"),
    Row("sudo dscl . -create /Groups/_t && sudo dscl . -create /Groups/_t PrimaryGroupID 250"),
    Row(
        "sudo sysadminctl -addUser _t -UID 250 -GID 250 -home /var/t -shell /usr/bin/false -roleAccount"
        " 2>/dev/null && id _t; ls -d /var/t",
        r"uid=250\(_t\) gid=250\(_t\) groups=250\(_t\)\n",
        ".*No such file or directory\n",
        2,
    ),
    Row("sudo sysadminctl -addUser _t -UID 251 -roleAccount", "", ".*already exists\n"),
    Row(
        "sudo createhomedir -c -u _t >/dev/null; stat -f '%Su %Sg %HT' /var/t",
        "_t _t Directory\n",
    ),
    Row(
        "sudo dscl . -create /Users/_t IsHidden 1; dscl . -read /Users/_t IsHidden",
        "IsHidden: 1\n",
    ),
    Row("sudo -u _t id -un", "_t\n"),
    Row("dseditgroup -o checkmember -m admin admin", "yes admin is a member of admin\n"),
    Row("dseditgroup -o checkmember -m _t admin", "no _t is NOT a member of admin\n", status=67),
    Row("sudo dseditgroup -o edit -a _t -t user admin; id -Gn _t", "_t admin\n"),
    Row("sudo sysadminctl -deleteUser _t 2>/dev/null; id _t", "", ".*no such user\n", 1),
    Row("fdesetup status", r"FileVault is Off\.\n"),
    Row("fdesetup isactive", "false\n", status=1),
    Row(
        f"{FIREWALL} --getglobalstate",
        r"Firewall is disabled\. \(State = 0\)\n",
    ),
    Row(
        f"f={FIREWALL}; sudo $f --setglobalstate on; sudo $f --setglobalstate off",
        r"Firewall is enabled\. \(State = 1\)\nFirewall is disabled\. \(State = 0\)\n",
    ),
    Row(
        f"f={FIREWALL}; sudo $f --add /bin/sh && sudo $f --unblockapp /bin/sh",
        r"Application at path \( /bin/sh \) added to firewall \n"
        r"Incoming connection to the application is permitted \n",
    ),
    Row("sudo systemsetup -getremotelogin", "Remote Login: On\n"),
    Row("systemsetup -getremotelogin", "You need administrator access .*\n"),
    Row("mdutil -s /", "/:\n\tIndexing enabled.\n"),
    Row("sudo mdutil -i off /", "/:\n\tIndexing disabled.\n"),
    Row("tmutil isexcluded /opt", r"\[Included\]    /opt\n"),
    Row(
        "p=/var/db/simulated-mac/privacy.json; echo '{\"full_disk_access\": false}' | sudo tee $p >/dev/null"
        "; sudo tmutil addexclusion -p /opt; status=$?; sudo rm $p; exit $status",
        "",
        r"tmutil: addexclusion requires Full Disk Access privileges\.\n(.|\n)+",
        80,
    ),
    Row("tmutil addexclusion -p /opt", "", ".*requires root privileges.\n", 80),
    Row("sudo tmutil addexclusion -p /opt && tmutil isexcluded /opt", r"\[Excluded\]    /opt\n"),
    Row("sudo tmutil removeexclusion -p /opt; sudo tmutil addexclusion /opt && tmutil isexcluded /opt/raylab",
        r"\[Excluded\]    /opt/raylab\n"),
    Row("sudo tmutil removeexclusion /opt; tmutil isexcluded /opt", r"\[Included\]    /opt\n"),
    Row("csrutil status", "System Integrity Protection status: enabled.\n"),
    Row("rdma_ctl enable", "", "rdma_ctl: This tool needs to be executed from Recovery OS.\n", 77),
    Row("ibv_devices | tail -1", r"    rdma_en7        \t[0-9a-f]{16}\n"),
    Row("softwareupdate --schedule", "Automatic checking for updates is turned on\n"),
    Row(
        "p=/Library/Preferences/com.apple.SoftwareUpdate"
        "; sudo defaults write $p AutomaticallyInstallMacOSUpdates -bool false"
        " && defaults read $p AutomaticallyInstallMacOSUpdates",
        "0\n",
    ),
    Row("defaults read com.example.nothing key", "", r".*\nThe domain/default pair .* does not exist\n", 1),
    Row("plutil -lint /System/Library/LaunchDaemons/com.openssh.sshd.plist", ".*: OK\n"),
    Row("xcode-select -p", "", "xcode-select: error: Unable to get active developer directory.*\n", 2),
    *(Row(f"{name} --version", "", STUB, 1) for name in ("python3", "git", "cc")),
    Row("df -k / | head -1", r"Filesystem( +\S+){6} +%iused +Mounted on\n"),
    Row("df -k / | awk 'NR == 2 { print NF, $9 }'", "9 /\n"),
    Row("df -k /nowhere", r"Filesystem.*\n", "df: /nowhere: No such file or directory\n", 1),
    Row("stat -f '%Su %Sg %Lp %z' /etc/hosts", r"root wheel 644 \d+\n"),
    Row("stat -c %s /etc/hosts", "", r"stat: illegal option -- c\n.*\n", 1),
    Row("stat -f %z /nowhere", "", "stat: /nowhere: stat: No such file or directory\n", 1),
    Row("ln -sf to link; stat -f '%N%SY %Sp' link", "link -> to lrwxrwxrwx\n"),
    Row("printf 'a\\n' >f; sed -i '' s/a/b/ f; cat f; ls f*", "b\nf\n"),
    Row("printf 'a\\n' >f; sed -i .old s/a/b/ f; cat f.old; rm f.old", "a\n"),
    Row("printf 'a\\n' >f; sed -i s/a/b/ f; cat f", "a\n", ".+\n"),
    Row("printf abc >f; md5 -q f; md5 f", r"900150983cd24fb0d6963f7d28e17f72\nMD5 \(f\) = 9001\w+\n"),
    Row("printf abc | shasum -a 256", r"ba7816bf[0-9a-f]{56}  -\n"),
    Row("touch q; xattr -w com.apple.quarantine x q; xattr q; xattr -dr com.apple.quarantine q; xattr q",
        "com.apple.quarantine\n"),
    Row("xattr -d com.apple.quarantine q", "", "xattr: q: No such xattr: com.apple.quarantine\n", 1),
    Row("xattr -w com.apple.quarantine x q; xattr /dev/null q; xattr -d com.apple.quarantine q",
        "q: com.apple.quarantine\n"),
    Row("codesign -v /bin/sh"),
    Row("codesign -f -s - q", "", "q: replacing existing signature\n"),
    Row("codesign -v nowhere", "", "nowhere: No such file or directory\n", 1),
    Row("printf a >s; codesign -s - s; codesign -v s; xattr s; printf b >s; codesign -v /bin/sh s", "",
        r"s: invalid signature \(code or signature have been modified\)\nIn architecture: arm64\n", 1),
    Row("nc -z -G 2 10.77.0.15 22"),
    Row("ps -axo pid=,user=,command= | head -1", r" *1 root +\S+.*\n"),
    Row("echo $PATH; echo $SHELL", "/usr/bin:/bin:/usr/sbin:/sbin\n/bin/zsh\n"),
    Row("pfctl -s info", "", "pfctl: /dev/pf: Permission denied\n", 1),
    Row("sudo pfctl -s info", r"Status: Disabled +Debug: Urgent\n", ALTQ),
    Row("sudo pfctl -s References", "No pf starter references held\n", ALTQ),
    Row("sudo pfctl -X 12", "", f"{ALTQ}pfctl: pf not enabled\n", 1),
    Row("sudo pfctl -E", "", rf"{ALTQ}pf enabled\nToken : \d+\n"),
    Row("sudo pfctl -s info", r"Status: Enabled for 0 days 00:00:\d\d +Debug: Urgent\n", ALTQ),
    Row("sudo pfctl -e", "", f"{ALTQ}pfctl: pf already enabled\n", 1),
    Row("sudo pfctl -X 12", "", f"{ALTQ}pfctl: pf: token invalid\n", 1),
    Row(
        "sudo pfctl -E; sudo pfctl -s References",
        r"TOKENS:\nPID +Process Name +TOKEN +TIMESTAMP\n(\d+ +pfctl +\d+ +0 days 00:00:00\n){2}",
        "(.+\n){6}",
    ),
    Row(
        "t=$(sudo pfctl -s References 2>&1 | tail -1); set -- $t; sudo pfctl -X $3",
        "",
        rf"{ALTQ}disable request successful\. 1 more pf enable reference\(s\) remaining, pf still enabled\.\n",
    ),
    Row("sudo pfctl -d", "", f"{ALTQ}pf disabled\n"),
    Row("sudo pfctl -s References", "No pf starter references held\n", ALTQ),
    Row(
        "sudo pfctl -s rules; sudo pfctl -q -a com.apple -s rules",
        r'scrub-anchor "com\.apple/\*" all fragment reassemble\nanchor "com\.apple/\*" all\n'
        r'anchor "200\.AirDrop/\*" all\nanchor "250\.ApplicationFirewall/\*" all\n',
        ALTQ,
    ),
    Row(
        "echo 'block return in quick proto tcp from any to any port { 80, 100:200 }' | sudo pfctl -a mine -f -"
        "; sudo pfctl -q -a mine -s rules; sudo pfctl -q -a mine -F rules; sudo pfctl -q -a mine -s rules",
        "block return in quick proto tcp from any to any port = 80\n"
        "block return in quick proto tcp from any to any port 100:200\n",
        f"{FLUSHING}{ALTQ}rules cleared\n",
    ),
    Row(
        "echo 'blok in all' | sudo pfctl -a mine -f -",
        "",
        f"{FLUSHING}{ALTQ}stdin:1: syntax error\npfctl: Syntax error in config file: pf rules not loaded\n",
        1,
    ),
    Row("shutdown -r now", "", "shutdown: NOT super-user\n", 1),
    Row("sudo sh -c 'echo $HOME' ; id -gn root", ".*\nwheel\n"),
    Row("launchctl list | head -1", "PID\tStatus\tLabel\n"),
]  # fmt: skip

ABSENT = (
    *("ip", "ss", "getent", "timeout", "flock", "setsid", "sha256sum", "md5sum", "systemctl", "service"),
    *("useradd", "groupadd", "usermod", "apt", "apt-get", "dpkg", "lscpu", "free", "nproc", "mount"),
    *("nft", "iptables"),
    *("docker", "cargo", "node", "gdb", "vim", "unshare", "nsenter", "redis-server"),
)


@pytest.fixture(scope="session")
def answers(world: World) -> list[tuple[str, str, int]]:
    """What every row printed: one SSH session runs them all, in order."""
    world.ok("up", "m5")
    script = ["cd $(mktemp -d)"]
    for row in ROWS:
        quoted = row.command.replace("'", "'\\''")
        script.append(f"sh -c '{quoted}' >/tmp/out 2>/tmp/err </dev/null; status=$?")
        script.append("cat /tmp/out; printf '\\0'; cat /tmp/err; printf '\\0%s\\0' $status")
    ran = world.mac("m5", "\n".join(script))
    parts = ran.stdout.split("\0")
    assert len(parts) == 3 * len(ROWS) + 1, ran.stderr
    triples = zip(parts[::3], parts[1::3], parts[2::3], strict=False)
    return [(out, err, int(status)) for out, err, status in triples]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: ROWS[number].command[:60])
def test_answers_as_a_mac(answers: list[tuple[str, str, int]], number: int) -> None:
    row, (out, err, status) = ROWS[number], answers[number]
    assert status == row.status, (out, err)
    assert re.fullmatch(row.out, out), out
    assert re.fullmatch(row.err, err), err


def test_what_macos_lacks_is_not_there(macs: World) -> None:
    script = "".join(f"command -v {name}\n" for name in ABSENT)
    assert macs.mac("m5", script).stdout == ""


def test_the_machine_below_does_not_show(macs: World) -> None:
    listed = macs.mac("m5", "ls -A / /opt /usr/local/bin /etc/os-release /root 2>/dev/null").stdout.split()
    assert not {"home", "srv", "mnt", ".dockerenv", "docker", "os-release"} & set(listed)


def test_system_profiler_json(macs: World) -> None:
    wanted = "SPHardwareDataType SPDisplaysDataType SPThunderboltDataType"
    told = json.loads(macs.mac("m5", f"system_profiler {wanted} -json").stdout)
    overview = told["SPHardwareDataType"][0]
    assert (overview["chip_type"], overview["machine_model"]) == ("Apple M3 Ultra", "Mac15,14")
    assert (overview["number_processors"], overview["physical_memory"]) == ("proc 32:24:8", "512 GB")
    assert told["SPDisplaysDataType"][0]["sppci_cores"] == "80"
    bus = told["SPThunderboltDataType"][-1]
    assert bus["receptacle_1_tag"]["receptacle_id_key"] == "1"
    assert bus["domain_uuid_key"]
