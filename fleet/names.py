"""The part of /etc/hosts by which every Mac of the fleet finds every other."""

from __future__ import annotations

from fleet.settings import Fleet


def host_names(fleet: Fleet) -> dict[str, str]:
    """Host name → node IP, for every Mac whose name raylab decides."""
    return {mac.host_name: mac.node_ip for mac in fleet.macs if mac.host_name}


def hosts_block(fleet: Fleet) -> str:
    """Our lines of /etc/hosts, the same on every Mac. Empty for a Mac alone.

    Without them macOS resolves its own name to loopback, which breaks Ray and gloo, and a name that nobody
    resolves costs minutes of every engine's start.
    """
    names = host_names(fleet)
    if not names:
        return ""
    width = max(map(len, names.values()))
    lines = [f"{address:<{width}} {name}" for name, address in names.items()]
    # gloo asks for the name of this address too, and where no name server answers that alone takes seconds.
    lines.append("::ffff:127.0.0.1 loopback4")
    return "".join(f"{line}\n" for line in lines)
