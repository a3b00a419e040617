"""What this Mac is: sw_vers, uname, sysctl, vm_stat and the like."""

from __future__ import annotations

import os
import time
import uuid

from .answers import LOST, changing, complain, hardware, is_root, recall, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAGE = 16384
MIB = 1024 * 1024
WRITABLE = {
    "iogpu.wired_limit_mb": 0,
    "iogpu.wired_lwm_mb": 0,
    "kern.maxfiles": 491520,
    "kern.maxfilesperproc": 245760,
}
WRITABLE |= {
    "kern.ipc.somaxconn": 128,
    "kern.ipc.maxsockbuf": 8388608,
    "net.inet.tcp.delayed_ack": 3,
    "net.inet.tcp.recvspace": 131072,
    "net.inet.tcp.sendspace": 131072,
}
"""Kernel settings that root may change until the next boot, and their defaults."""


def _darwin(macos: str) -> str:
    """macOS 26.5.1 runs Darwin 25.5.0, 15.7 ran 24.6.0."""
    major, minor = (int(part) for part in macos.split(".")[:2])
    return f"{major - 1 if major >= 26 else major + 9}.{minor}.0"


def sw_vers(arguments: list[str]) -> int:
    """sw_vers [-productName | -productVersion | -buildVersion]."""
    mac = hardware()
    rows = {"productName": "macOS", "productVersion": mac["macos"], "buildVersion": mac["build"]}
    if not arguments:
        for key, value in rows.items():
            print(f"{key[0].upper()}{key[1:]}:\t\t{value}")
        return 0
    key = arguments[0].lstrip("-")
    if key not in rows:
        return complain("usage: sw_vers [--help|--productName|--productVersion|--buildVersion]")
    return say(rows[key])


def uname(arguments: list[str]) -> int:
    """uname [-amnoprsv]."""
    release = _darwin(hardware()["macos"])
    version = f"Darwin Kernel Version {release}: root:xnu-12377.121.6~2/RELEASE_ARM64_T6041"
    parts = {"s": "Darwin", "n": os.uname().nodename, "r": release, "v": version, "m": "arm64", "p": "arm"}
    letters = "".join(argument.lstrip("-") for argument in arguments) or "s"
    if any(not argument.startswith("-") for argument in arguments) or set(letters) - set("amnoprsv"):
        return complain("usage: uname [-amnoprsv]")
    letters = letters.replace("o", "s").replace("a", "snrvm")
    return say(" ".join(text for letter, text in parts.items() if letter in letters))


def arch(arguments: list[str]) -> int:
    """arch [-arm64 COMMAND ...]."""
    if not arguments:
        return say("arm64")
    if arguments[0] != "-arm64" or len(arguments) < 2:
        return complain(f"arch: posix_spawnp: {arguments[-1]}: Bad CPU type in executable")
    os.execvp(arguments[1], arguments[1:])


def _boot_time() -> int:
    return int(os.stat("/run/sshd").st_ctime)


def _boot_session() -> str:
    """Another one after each start."""
    booted = f"{os.uname().nodename} {os.stat('/run/sshd').st_ctime_ns}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, booted)).upper()


def _readable() -> dict[str, Any]:
    mac = hardware()
    cores = mac["performance_cores"] + mac["efficiency_cores"]
    booted = _boot_time()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "kern.ostype": "Darwin",
        "kern.osrelease": _darwin(mac["macos"]),
        "kern.osversion": mac["build"],
        "kern.osproductversion": mac["macos"],
        "kern.hostname": os.uname().nodename,
        "kern.boottime": f"{{ sec = {booted}, usec = 0 }} {time.ctime(booted)}",
        "kern.bootsessionuuid": _boot_session(),
        "kern.argmax": 1048576,
        "hw.machine": "arm64",
        "hw.model": mac["machine_model"],
        "hw.ncpu": cores,
        "hw.activecpu": cores,
        "hw.physicalcpu": cores,
        "hw.physicalcpu_max": cores,
        "hw.logicalcpu": cores,
        "hw.logicalcpu_max": cores,
        "hw.nperflevels": 2,
        "hw.perflevel0.name": "Performance",
        "hw.perflevel0.physicalcpu": mac["performance_cores"],
        "hw.perflevel1.name": "Efficiency",
        "hw.perflevel1.physicalcpu": mac["efficiency_cores"],
        "hw.memsize": mac["memory_gb"] * 1024 * MIB,
        "hw.memsize_usable": mac["memory_gb"] * 1024 * MIB,
        "hw.pagesize": PAGE,
        "hw.optional.arm64": 1,
        "machdep.cpu.brand_string": mac["chip"],
        "machdep.cpu.core_count": cores,
        "vm.loadavg": f"{{ {load} }}",
        "vm.swapusage": "total = 0.00M  used = 0.00M  free = 0.00M  (encrypted)",
        **WRITABLE,
        **recall("sysctl", LOST),
    }


def sysctl(arguments: list[str]) -> int:
    """sysctl [-n] [-a] [-w] NAME[=VALUE] ...: settings are lost at the next boot, as on a Mac."""
    flags = "".join(word[1:] for word in arguments if word.startswith("-"))
    names = [word for word in arguments if not word.startswith("-")]
    bare = "n" in flags
    if "a" in flags:
        for name, value in _readable().items():
            print(value if bare else f"{name}: {value}")
        return 0
    if not names:
        return complain("usage: sysctl [-bdehiNnoqx] name[=value] ...")
    return max(_one_setting(word, bare, "i" in flags) for word in names)


def _one_setting(word: str, bare: bool, forgiving: bool) -> int:
    name, assigned, value = word.partition("=")
    known = _readable()
    if name not in known:
        children = {key: text for key, text in known.items() if key.startswith(f"{name}.")}
        for key, text in children.items():
            print(text if bare else f"{key}: {text}")
        return 0 if children or forgiving else complain(f"sysctl: unknown oid '{name}'")
    label = "" if bare else f"{name}: "
    if not assigned:
        return say(f"{label}{known[name]}")
    if name not in WRITABLE:
        return complain(f"sysctl: oid '{name}' is read only")
    if not is_root():
        return complain(f"sysctl: {name}={value}: Operation not permitted")
    if not value.isdigit():
        return complain(f"sysctl: invalid integer '{value}'")
    with changing("sysctl", LOST) as values:
        values[name] = int(value)
    return say(f"{label}{known[name]} -> {value}")


def vm_stat(_: list[str]) -> int:
    """vm_stat: pages, of this Mac's memory, the share that Linux says is used."""
    with open("/proc/meminfo") as file:
        linux = {line.split(":")[0]: int(line.split()[1]) for line in file}
    pages = hardware()["memory_gb"] * 1024 * MIB // PAGE
    rows = {
        "Pages free": "MemFree",
        "Pages active": "Active",
        "Pages inactive": "Inactive",
        "Pages wired down": "Slab",
        "File-backed pages": "Cached",
        "Anonymous pages": "AnonPages",
    }
    print(f"Mach Virtual Memory Statistics: (page size of {PAGE} bytes)")
    for label, key in rows.items():
        count = f"{pages * linux[key] // linux['MemTotal']}."
        print(f"{label + ':':<20}{count:>27}")
    return 0


def csrutil(arguments: list[str]) -> int:
    """csrutil status."""
    if arguments == ["status"]:
        return say("System Integrity Protection status: enabled.")
    return complain("csrutil: This tool needs to be executed from Recovery OS.", 77)


def spctl(arguments: list[str]) -> int:
    """spctl --status."""
    if arguments == ["--status"]:
        return say("assessments enabled")
    return complain("System Policy Basic Usage:", 2)
