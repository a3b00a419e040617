"""What one Mac says about itself, read with one command before anything is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fleet import layout

_MARK = "@@raylab"


def _section(name: str, command: str) -> str:
    # A command that fails leaves its section empty; the ones after it still run.
    return f"printf '\\n{_MARK} {name}\\n'; {command}"


# A Mac's own commands only, none of which asks for a password, opens a window or takes a second.
FACTS_SCRIPT = "\n".join(
    [
        "export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C",
        "exec 2>/dev/null </dev/null",
        _section("clock", "date +%s"),
        _section("version", "sw_vers"),
        _section("arch", "uname -m"),
        _section("memory", "sysctl -n hw.memsize"),
        _section("cpus", "sysctl -n hw.ncpu"),
        _section("chip", "sysctl -n machdep.cpu.brand_string"),
        _section("model", "sysctl -n hw.model"),
        _section("wired", "sysctl -n iogpu.wired_limit_mb"),
        _section("addresses", "ifconfig -a"),
        _section("HostName", "scutil --get HostName"),
        _section("LocalHostName", "scutil --get LocalHostName"),
        _section("disk", "df -k /"),
        _section("filevault", "fdesetup status"),
        _section("firewall", "/usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate"),
        _section("power", "pmset -g"),
        _section("login", "systemsetup -getremotelogin"),
        _section("draining", f"ls {layout.DRAINING}"),
        _section(
            "installed",
            f"for each in {layout.RELEASES}/*/complete {layout.WEIGHTS}/*/*/; do "
            'if [ -e "$each" ]; then printf "%s\\n" "$each"; fi; done',
        ),
        "exit 0",
    ]
)


@dataclass(frozen=True)
class MacFacts:
    """One Mac as it is. What a Mac does not tell is None, an empty text or 0."""

    name: str
    """The Mac's name in the inventory, when the caller gives it."""
    macos_version: str
    """`26.5.1`."""
    macos_build: str
    """`25F80`."""
    arch: str
    """`arm64` on Apple silicon."""
    chip: str
    """`Apple M2 Ultra`."""
    model: str
    """`Mac16,5`."""
    memory_bytes: int
    cpus: int
    addresses: tuple[str, ...]
    """Every IPv4 address of every interface, loopback too."""
    host_name: str | None
    """What `scutil --set HostName` has set; None when nothing did."""
    local_host_name: str
    """The Bonjour name, without `.local`."""
    disk_free_bytes: int
    disk_total_bytes: int
    clock_epoch: int
    """Seconds since 1970, at the moment of asking."""
    filevault: bool | None
    firewall: bool | None
    """The Application Firewall."""
    sleep: int | None
    """Minutes until the Mac sleeps; 0 is never."""
    autorestart: int | None
    """1: starts by itself after a power cut. None: this Mac cannot."""
    remote_login: bool | None
    """None too when the question needs root."""
    draining: bool
    """Whether it gets no requests, as it has its turn in a roll."""
    wired_limit_mb: int | None
    """Memory that the GPU may wire; 0 is macOS's default."""
    installed: frozenset[str]
    """Finished releases and weights: `releases/<id>`, `weights/<model>/<revision>`."""

    @staticmethod
    def parse(text: str, name: str = "") -> MacFacts:
        """Read the output of FACTS_SCRIPT. Never raises: what cannot be read counts as not told."""
        sections = _sections(text)
        version = _pairs(sections.get("version", ""))
        power = _power(sections.get("power", ""))
        free, total = _disk(sections.get("disk", ""))
        wired = _number(sections.get("wired", ""))
        return MacFacts(
            name=name,
            macos_version=version.get("ProductVersion", ""),
            macos_build=version.get("BuildVersion", ""),
            arch=_first_line(sections.get("arch", "")),
            chip=_first_line(sections.get("chip", "")),
            model=_first_line(sections.get("model", "")),
            memory_bytes=_number(sections.get("memory", "")) or 0,
            cpus=_number(sections.get("cpus", "")) or 0,
            addresses=tuple(re.findall(r"^\s+inet (\d+\.\d+\.\d+\.\d+)\b", sections.get("addresses", ""), re.M)),
            host_name=_first_line(sections.get("HostName", "")) or None,
            local_host_name=_first_line(sections.get("LocalHostName", "")),
            disk_free_bytes=free,
            disk_total_bytes=total,
            clock_epoch=_number(sections.get("clock", "")) or 0,
            filevault=_switch(sections.get("filevault", ""), "FileVault is On", "FileVault is Off"),
            firewall=_firewall(sections.get("firewall", "")),
            sleep=power.get("sleep"),
            autorestart=power.get("autorestart"),
            remote_login=_switch(sections.get("login", ""), "Remote Login: On", "Remote Login: Off"),
            draining=layout.DRAINING in sections.get("draining", ""),
            wired_limit_mb=wired,
            installed=_installed(sections.get("installed", "")),
        )


def _sections(text: str) -> dict[str, str]:
    """The output of each command, by its section's name."""
    found = {}
    for part in re.split(rf"^{_MARK} ", text.replace("\r\n", "\n"), flags=re.M)[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body
    return found


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _number(text: str) -> int | None:
    line = _first_line(text)
    return int(line) if re.fullmatch(r"\d+", line) else None


def _pairs(text: str) -> dict[str, str]:
    """`ProductVersion:\\t\\t26.5.1`, line by line."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in lines}


def _power(text: str) -> dict[str, int]:
    """`pmset -g`: names may hold spaces, and a value may be followed by who keeps the Mac awake."""
    found = re.findall(r"^\s+(\S.*?)\s+(\d+)(?:[ \t]+\(.*\))?[ \t]*$", text, re.M)
    return {name: int(value) for name, value in found}


def _disk(text: str) -> tuple[int, int]:
    """Free and total bytes from `df -k`, whether it prints six columns or, as on a Mac, nine."""
    row = re.search(r"\s(\d+)\s+\d+\s+(\d+)\s+\d+%", text)
    return (int(row[2]) * 1024, int(row[1]) * 1024) if row else (0, 0)


def _firewall(text: str) -> bool | None:
    """Any state but 0 filters: 2 lets only Apple's own services through."""
    state = re.search(r"\(State = (\d+)\)", text)
    return int(state[1]) > 0 if state else None


def _switch(text: str, on: str, off: str) -> bool | None:
    return True if on in text else False if off in text else None


def _installed(text: str) -> frozenset[str]:
    paths = (line.strip().rstrip("/").removesuffix("/complete") for line in text.splitlines())
    return frozenset(path.removeprefix(f"{layout.PREFIX}/") for path in paths if path.startswith(layout.PREFIX))
