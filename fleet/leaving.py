"""Whether Macs may leave the fleet. Pure: others look, ask, and take away."""

from __future__ import annotations

from collections.abc import Collection

from fleet.errors import Code, Problem
from fleet.plan import Plan
from fleet.settings import Fleet


def refusals(fleet: Fleet, leaving: Collection[str], everybody: bool) -> list[Problem]:
    """Why these Macs must not leave, whatever the fleet serves. `everybody`: the whole fleet was asked for."""
    staying = [mac.name for mac in fleet.macs if mac.name not in leaving]
    if not staying and not everybody:
        fix = "Name those that you mean with --limit NAME, or say that you mean all: --data all=1."
        return [Problem(Code.LEAVE_ALL, "", "", "", ", ".join(leaving), fix)]
    if staying and fleet.head.name in leaving:
        fix = (
            "Make another Mac the head in the inventory and run deploy/upgrade.py, or remove the others first. "
            "For the whole fleet: --data all=1."
        )
        return [Problem(Code.LEAVE_HEAD, fleet.head.where, "", "", fleet.head.name, fix, ", ".join(staying))]
    return []


def homeless(fleet: Fleet, leaving: Collection[str], now: Plan, after: Plan) -> list[Problem]:
    """What the others could not serve, of what the fleet serves now: the errors of the plan without these Macs."""
    known = {(problem.code, problem.field) for problem in now.problems}
    nowhere = [model for model in fleet.models if all(mac.name in leaving for mac in fleet.allowed(model))]
    problems = [
        Problem(
            Code.MODEL_HOMELESS,
            "",
            "",
            f"models[{fleet.models.index(model)}].macs",
            model.id,
            "Let it run elsewhere, or take it out of the settings, and run deploy/cluster.py first.",
            ", ".join(mac.name for mac in fleet.allowed(model)),
        )
        for model in nowhere
    ]
    told = {f"models[{fleet.models.index(model)}]" for model in nowhere}
    return problems + [
        problem
        for problem in after.problems
        if problem.severity == "error"
        and (problem.code, problem.field) not in known
        and problem.field.split(".")[0] not in told
    ]
