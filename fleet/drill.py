"""The drill: every Mac restarts once. What forbids it, what is missing after a restart, and what it took."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fleet.health import cluster_checks
from fleet.macfacts import MacFacts
from fleet.plan import Plan
from fleet.seen import Answer, Cluster
from fleet.settings import Fleet, Mac

# What a Mac is seen to do after a restart, in this order.
SSH, RAY, GENERATION = "SSH back", "Ray joined", "generation"
STEPS = (SSH, RAY, GENERATION)
# What a person can say yes to, as --data NAME=1.
FILEVAULT, YES = "filevault", "yes"


@dataclass
class Turn:
    """One Mac's restart: how far it got, and the seconds from its beginning to each step."""

    mac: Mac
    node: str
    """What Ray called its node before: that one may look alive for a while."""
    began: float
    """On the clock of `time.monotonic`."""
    restarts: bool = False
    """Whether it was told to restart: not before its requests have ended."""
    seconds: dict[str, float] = field(default_factory=dict)
    console: tuple[str, ...] = ()
    """Who was logged in at its screen when it served again."""

    @property
    def missing(self) -> str:
        """The first step that it did not get to; empty when there is none."""
        return next((step for step in STEPS if step not in self.seconds), "")


def order(fleet: Fleet) -> list[Mac]:
    """The head last: it tells how the others are."""
    return [*fleet.workers, fleet.head]


def obstacles(
    plan: Plan,
    asked: Collection[str],
    facts: Mapping[str, MacFacts],
    sessions: Mapping[str, str],
    here: str,
    cluster: Cluster,
    accepted: Collection[str] = (),
) -> Iterator[str]:
    """Why no Mac may be restarted, one line each with what to do.

    `asked` names the Macs that would restart; of each `sessions` has its current start, as Boot tells it, and `here`
    is this machine's own, empty when it has none. `accepted` are the words that a person said yes to.
    """
    fleet = plan.fleet
    if len(fleet.macs) == 1 and YES not in accepted:
        yield f"{fleet.head.name} is the only Mac: while it restarts, nobody is served. If so, add --data {YES}=1."
    for name, fact in facts.items():
        if fact.draining and name not in asked:
            yield f"{name}: it gets no requests, as its turn in a roll was interrupted. deploy/cluster.py ends that."
    for mac in order(fleet):
        if mac.name not in asked:
            continue
        if mac.name not in facts or not sessions.get(mac.name):
            yield f"{mac.name}: it does not say when it started, see above. It must answer before it is restarted."
        elif sessions[mac.name] == here:
            yield f"{mac.name}: this run is on it, and would end with it. Run the drill from another machine."
        elif facts[mac.name].filevault and FILEVAULT not in accepted:
            yield (
                f"{mac.name}: FileVault is on: it would wait for a password at its screen, and serve nothing. Switch "
                "FileVault off in System Settings > Privacy & Security, or add "
                f"--data {FILEVAULT}=1 and be there to unlock it."
            )
    if not plan.placements:
        yield "There are no models: nothing could prove that a Mac serves again. Add one to the settings."
    for check in cluster_checks(fleet, plan, cluster):
        if not check.ok:
            yield f"{check.name}: {check.found}. A drill begins with a fleet that is well: deploy/health.py."
    if cluster.nodes and not cluster.ids:
        yield f"{fleet.head.name}: an older raylab was laid there. Run deploy/cluster.py first."


def cautions(plan: Plan, asked: Collection[str], facts: Mapping[str, MacFacts]) -> Iterator[str]:
    """What a person should know before the first restart."""
    for mac in order(plan.fleet):
        if mac.name not in asked or mac.name not in facts:
            continue
        if facts[mac.name].filevault:
            yield f"{mac.name}: FileVault is on: unlock it at its screen when it has restarted."
        elif facts[mac.name].filevault is None:
            yield f"{mac.name}: it does not say whether FileVault is on; if it is, it waits at its screen."
        only = [name for name, each in plan.placements.items() if all(mac in copy for copy in each.copies)]
        if only:
            yield f"{mac.name}: while it restarts, nobody is served {', '.join(only)}, which no other Mac holds."


def not_back(plan: Plan, turn: Turn, cluster: Cluster) -> tuple[str, str]:
    """The step that a Mac has yet to get to, and what is missing; two empty texts when only an answer is."""
    if cluster.error:
        return RAY, cluster.error
    if cluster.ids.get(turn.mac.node_ip, turn.node) == turn.node:
        return RAY, f"{turn.mac.name} ({turn.mac.node_ip}) is not in the cluster yet"
    wrong = [f"{check.name}: {check.found}" for check in cluster_checks(plan.fleet, plan, cluster) if not check.ok]
    return (GENERATION, "; ".join(wrong)) if wrong else ("", "")


def silent(fleet: Fleet, answer: Answer) -> str:
    """What an answer through one Mac lacks; empty when every model has generated something."""
    lacking = [model.id for model in fleet.models if not answer.tokens.get(model.id)]
    return answer.error or (f"no answer of {', '.join(lacking)}" if lacking else "")


def advice(turn: Turn) -> str:
    """What to do about a Mac that did not come back."""
    name = turn.mac.name
    if not turn.restarts:
        return f"{name} was not restarted, as its requests did not end: it serves on. Run the drill when it has fewer."
    wise = {
        SSH: (
            "look at its screen: FileVault, or an update, may wait there for somebody. If it is dark, hold its power "
            "button for ten seconds and press it again"
        ),
        RAY: f"deploy/status.py --limit {name}, then deploy/logs.py --limit {name} --data job=ray",
        GENERATION: "deploy/health.py says what is missing, deploy/logs.py --data job=engine why",
    }
    return (
        f"{name} did not get to “{turn.missing}”, and no Mac after it was restarted: {wise[turn.missing]}. When it is "
        "back, deploy/cluster.py lets requests in again."
    )


def table(turns: Sequence[Turn]) -> list[str]:
    """A line for each Mac that was restarted: seconds from the moment at which it was told to."""
    rows: list[tuple[str, ...]] = [("Mac", *STEPS, "logged in at its screen")]
    for turn in turns:
        steps = (f"{turn.seconds[step]:.0f} s" if step in turn.seconds else "-" for step in STEPS)
        rows.append((turn.mac.name, *steps, "-" if turn.missing else ", ".join(turn.console) or "nobody"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
