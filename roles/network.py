"""Names: every Mac resolves every Mac's name to its node IP, its own too."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from fleet.names import hosts_block
from macos.operations import names
from roles.context import the_fleet, this_mac


@deploy("Network")
def resolved_names() -> None:
    """Host name and hosts file. A Mac's own `.local` name means loopback, which breaks Ray and gloo."""
    if this_mac().host_name:
        names.host_name(this_mac().host_name, name="Host name")
    if block := hosts_block(the_fleet()):
        names.hosts(block, name="Hosts file")
