"""The plan as far as Serve was told of it. What else the settings want it is told after the Macs' turns."""

from __future__ import annotations

from fleet.plan import Plan
from fleet.settings import Fleet
from fleet.told import applications, as_told
from roles import announce
from roles.acting import UNREACHED
from roles.context import the_fleet
from roles.report import serve_config


def told_plan(fleet: Fleet | None = None) -> Plan:
    """The plan with the copies that Serve in the fleet's cluster was told of; all of it when nobody can say."""
    plan = announce.quiet_plan()
    try:
        config = serve_config(fleet or the_fleet())
    except UNREACHED:
        return plan
    return as_told(plan, applications(config)) if config else plan
