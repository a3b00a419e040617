"""What a run says before it touches anything: what is wrong, and the plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import gevent
from pyinfra import logger
from pyinfra.context import host, state

from depot.errors import DepotError
from depot.fetch import missing
from fleet.errors import Code, Problem, SettingsError
from fleet.macfacts import MacFacts
from fleet.picture import picture
from fleet.plan import Plan, make_plan
from fleet.preflight import check
from macos.facts.report import MacReport
from roles import firewall, network, sources
from roles.context import everyone, the_fleet

_plans: list[Plan] = []


def plan() -> Plan:
    """Look at every Mac, print the plan once, and end the run when something cannot work.

    Runs while pyinfra prepares, so nothing has been changed on any Mac when it ends the run.
    """
    facts = everyone(MacReport)
    _settle()
    if not _plans:
        _plans.append(quiet_plan())
        seen = [*check(the_fleet(), facts, _plans[0]), *firewall.problems(), *network.problems(_plans[0])]
        found = [*_plans[0].problems, *seen]
        _show(_plans[0], sorted(found, key=lambda problem: problem.severity != "error"))
    return _plans[0]


def quiet_plan(without: Collection[str] = ()) -> Plan:
    """The plan, for those who compare with it. What the last converge placed stays where it is.

    `without` names Macs that it shall do without.
    """
    facts = everyone(MacReport)
    _settle()
    fleet = the_fleet()
    staying = replace(fleet, macs=tuple(mac for mac in fleet.macs if mac.name not in without))
    return make_plan(staying, remembered_memory(facts), _remembered().get(fleet.name), network.port_reports())


def drawn() -> None:
    """Draw the plan into the file that `--data svg=FILE` names. Changes nothing on any Mac."""
    if path := host.data.get("svg"):
        Path(path).write_text(picture(quiet_plan()), encoding="utf-8")


def remember(made: Plan) -> None:
    """Keep where the models are now, for the plans of later runs."""
    known = _remembered()
    if known.get(made.fleet.name) != made.placed:
        _write(_placed_path(), known | {made.fleet.name: made.placed})


def _remembered() -> dict[str, dict[str, list[list[str]]]]:
    """The Macs of each copy of each model, by the fleet's name: several fleets may share a folder of secrets."""
    path = _placed_path()
    known: dict[str, dict[str, list[list[str]]]] = json.loads(path.read_text()) if path.exists() else {}
    return known


def _placed_path() -> Path:
    return the_fleet().secrets.expanduser() / "placed.json"


def _write(path: Path, content: object) -> None:
    """As JSON, the whole file or nothing; nobody else reads it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)


def _settle() -> None:
    """Every model's weights are known, wherever its files are."""
    try:
        sources.settle()
    except (DepotError, SettingsError) as error:
        if not _ended:
            say(f"error: models: {error} No Mac was touched.")
        end(2)


def _show(made: Plan, problems: list[Problem]) -> None:
    """Print the plan and what is wrong with it."""
    for problem in problems:
        if problem.code is Code.DISK_FULL and problem.mac != the_fleet().head.name:
            _leave_out(problem)
    left = [problem for problem in problems if problem.mac not in {mac.name for mac in state.failed_hosts}]
    errors = [problem.line() for problem in left if problem.severity == "error"]
    warnings = [problem.line() for problem in left if problem.severity != "error"]
    for locks, release in the_fleet().releases.items():
        errors += missing(release, str(locks))
    say(made.table(), *(f"warning: {line}" for line in warnings), *(f"error: {line}" for line in errors))
    if errors:
        say(f"{len(errors)} error{'s' * (len(errors) > 1)}. No Mac was touched.")
        end(2)


def _leave_out(problem: Problem) -> None:
    """A full worker fails alone, before anything is sent to it; the others go on."""
    mac = state.inventory.get_host(problem.mac)
    mac.log_styled(problem.line(), fg="red", log_func=logger.error)
    state.fail_hosts({mac})  # type: ignore[no-untyped-call]


def say(*lines: str) -> None:
    """Print a paragraph to the person, beside pyinfra's own messages."""
    for line in ("", *lines):
        tell(line)


def tell(line: str) -> None:
    """Print one line."""
    print(line, file=sys.stderr)


def remembered_memory(facts: Mapping[str, MacFacts]) -> dict[str, int]:
    """Memory of every Mac in bytes, also of those that this run leaves out, as they last reported it.

    Without that, a run with --limit would plan otherwise than a run without.
    """
    path = Path(the_fleet().depot) / "macs.json"
    known: dict[str, dict[str, int]] = json.loads(path.read_text()) if path.exists() else {}
    fleet = the_fleet()
    before, names = known.get(fleet.name, {}), {mac.name for mac in fleet.macs}
    now = {name: size for name, size in before.items() if name in names}
    now |= {name: seen.memory_bytes for name, seen in facts.items()}
    if now != before:
        _write(path, known | {fleet.name: now})
    return now


def for_the_fleet() -> None:
    """What follows concerns the whole fleet: it runs for the first Mac, and the others' parts end here."""
    if _running:
        raise gevent.GreenletExit
    _running.append(True)


def end(status: int = 0) -> NoReturn:
    """End the run from one Mac's part of the deploy; the other Macs' parts end silently."""
    if _ended:
        raise gevent.GreenletExit
    _ended.append(status)
    sys.exit(status)


_running: list[bool] = []
_ended: list[int] = []
