"""What Serve was told, beside what the settings want: a turn waits for no copy that Serve does not know of yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from fleet.placement import Copy, Placement
from fleet.plan import Plan
from fleet.ray import MAC_LABEL, label
from fleet.serve import application_name


def applications(config: str) -> dict[str, Mapping[str, Any]]:
    """The applications of a Serve config (YAML), by name; none of one that is not there."""
    return {each["name"]: each for each in (yaml.safe_load(config) or {}).get("applications", ())}


def as_told(plan: Plan, told: Mapping[str, Mapping[str, Any]]) -> Plan:
    """The plan with the copies that the applications `told` ask for; models that are not among them have none."""
    placements = {
        name: _as_told(plan, placement, told.get(application_name(placement.model)))
        for name, placement in plan.placements.items()
    }
    return replace(plan, placements=placements)


def _as_told(plan: Plan, placement: Placement, application: Mapping[str, Any] | None) -> Placement:
    if application is None:
        return replace(placement, copies=(), minimum=0)
    experimental = application["args"].get("experimental_configs") or {}
    ranks = [_names(selector.get(MAC_LABEL, "")) for selector in experimental.get("macs") or ()]
    if not ranks:
        # Wherever Ray puts a copy is right.
        return placement
    copies: tuple[Copy, ...]
    if len(ranks) == 1:
        copies = tuple((mac,) for mac in plan.fleet.macs if label(mac) in ranks[0])
    else:
        # The ranks of a ring are in the order of its cables.
        named = {name for names in ranks for name in names}
        told = (copy for copy in placement.copies if len(copy) == len(ranks))
        copies = tuple(copy for copy in told if {label(mac) for mac in copy} <= named)
    fixed = placement.minimum == len(placement.copies)
    return replace(placement, copies=copies, minimum=len(copies) if fixed else min(placement.minimum, len(copies)))


def _names(selector: str) -> list[str]:
    """The Macs that a label selector of ours allows: `alpha`, or `in(alpha,beta)`."""
    return selector.removeprefix("in(").removesuffix(")").split(",")
