"""The firewall: strangers reach the door of a Mac, and nothing else that raylab listens on."""

from __future__ import annotations

from typing import Any

from pyinfra.api.deploy import deploy

from fleet import layout
from fleet.errors import Problem
from fleet.firewall import check_mac, make_rules
from fleet.jobs import FIREWALL, firewall_job
from macos.facts.pf import PacketFilter, SshPort
from macos.operations import files, launchd, pf
from macos.operations.files import TextFile
from roles.context import everyone, the_fleet, this_mac
from roles.ray import wrapper


@deploy("Firewall")
def strangers_kept_out() -> None:
    """pf's rules, at once and at every start; or none of them, where the settings want no firewall."""
    if not the_fleet().firewall:
        removed()
        return
    rules = make_rules(the_fleet(), this_mac())
    program = wrapper("raylab-firewall")
    files.tree(files=[program, TextFile(layout.FIREWALL_RULES, rules.text)], name=f"Files of {layout.FIREWALL_LABEL}")
    # The job would do it too, but only when it is new: somebody may have changed pf since.
    pf.filtering(rules, FIREWALL, name="Packet filter")
    launchd.job(
        layout.FIREWALL_LABEL,
        firewall_job().plist,
        depends=[program.content, rules.text],
        name=layout.FIREWALL_LABEL,
    )


def removed() -> None:
    """Takes the rules out of pf, and the job that brings them back. Nothing of anybody else's is touched."""
    launchd.absent(layout.FIREWALL_LABEL, name=layout.FIREWALL_LABEL)
    pf.left(name="Packet filter without raylab's rules")


def problems() -> list[Problem]:
    """What keeps the rules from being loaded, or from holding anybody off."""
    if not the_fleet().firewall:
        return []
    filters, ports = everyone(PacketFilter), everyone(SshPort, _without_sudo)
    found = [
        check_mac(the_fleet(), the_fleet().mac(name), filters[name], ports[name]) for name in filters if name in ports
    ]
    return [problem for each in found for problem in each]


def _without_sudo() -> dict[str, Any]:
    """For the fact SshPort."""
    return {"_sudo": False}
