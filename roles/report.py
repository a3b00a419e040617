"""What a Mac's own release says of it: versions, names, and on the head what Ray and Serve see."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.context import state

from fleet import layout
from fleet.health import RUNNING
from fleet.names import host_names
from fleet.seen import Cluster, Deployed
from fleet.settings import Fleet
from macos.connector import MacConnector, new_connection
from macos.facts.running import ServeConfig
from roles.context import on, the_fleet, the_release, this_mac

if TYPE_CHECKING:
    from pyinfra.api.host import Host

T = TypeVar("T")

# Serve's words for the state of an application, and of a replica.
UNHEALTHY, STOPPING = "UNHEALTHY", "STOPPING"


@dataclass(frozen=True)
class Report:
    """The answer of libexec/raylab_report.py. Empty when there is no release to ask, or it does not start."""

    versions: Mapping[str, str] = field(default_factory=dict)
    resolves: Mapping[str, str] = field(default_factory=dict)
    memory_free: int = 0
    cluster: Cluster | None = None
    """None on a Mac that is not the head."""


class NodeReport(FactBase[Report]):
    """Runs the report program with the Python of the release that runs, or else of the one that shall."""

    def command(self, release_id: str, names: tuple[str, ...], gcs: int = 0, dashboard: int = 0) -> str:
        """Never fails. On a head, `gcs` is the port of its Ray cluster, and `dashboard` the one that the settings say.

        The cluster may have been started with another one.
        """
        port, arguments = "", shlex.join(["--resolve", *names])
        if gcs:
            port = f"port=$(for job in {layout.RAY_LABEL} {layout.NEXT_RAY_LABEL}; do {_its_dashboard(gcs)}; done); "
            arguments += f' --head --dashboard "http://127.0.0.1:${{port:-{dashboard}}}"'
        running = f"launchctl print system/{layout.RAY_LABEL} 2>/dev/null | awk '/\tRAYLAB_RELEASE => / {{ print $3 }}'"
        program = f"{layout.LIBEXEC}/raylab_report.py"
        return (
            f"{port}release=$({running}); "
            f"${{release:-{layout.release_dir(release_id)}}}/env/bin/python -I {program} {arguments} "
            "2>/dev/null || echo '{}'"
        )

    @staticmethod
    def default() -> Report:
        """Nothing is known."""
        return Report()

    def process(self, output: list[str]) -> Report:
        """Parses the JSON object."""
        return parse(json.loads(output[-1]))


def _its_dashboard(gcs: int) -> str:
    """A shell command that prints at which port the dashboard of `$job` listens, if that is Ray of this cluster."""
    its, told = f"/--port={gcs}$/ {{ its = 1 }}", 'sub(/.*--dashboard-port=/, "") { port = $0 }'
    return f"launchctl print system/$job 2>/dev/null | awk '{its} {told} END {{ if (its) print port }}'"


def parse(answer: Mapping[str, Any]) -> Report:
    """The report out of its JSON."""
    if not answer:
        return Report()
    versions = {"python": answer["python"], **answer["versions"]}
    head = answer.get("head")
    return Report(versions, answer["resolves"], answer["memory_free"], cluster(head) if head else None)


def cluster(head: Mapping[str, Any]) -> Cluster:
    """What the head sees, as health judges it."""
    # A report program that an older raylab has laid tells no ids.
    alive = [{"id": None, **node} for node in head["nodes"] if node["state"] == "ALIVE"]
    living = {node["id"] for node in alive}
    return Cluster(
        nodes={node["ip"]: node["resources"] for node in alive},
        applications={name: _deployed(application, living) for name, application in head["applications"].items()},
        error=head["error"],
        ids={node["ip"]: node["id"] for node in alive if node["id"]},
    )


def _deployed(application: Mapping[str, Any], living: Set[str | None]) -> Deployed:
    replicas = [replica for each in application["deployments"].values() for replica in each["replicas"]]
    # Serve takes its time to notice that a Mac has gone down with its replicas.
    running = [each for each in replicas if each["state"] == RUNNING and each.get("node") in living]
    return Deployed(
        RUNNING if _only_ends(application) else application["status"] or "",
        len(running),
        application["message"] or "",
        places=frozenset(each["ip"] for each in running if each.get("ip")),
        failing=frozenset((ip, pid) for ip, pid in application.get("failing", ())),
    )


def _only_ends(application: Mapping[str, Any]) -> bool:
    """Whether what is unhealthy about it is only that replicas end which it has beside those that it shall have.

    That lasts for five minutes with one of a Mac that has left the fleet, which never came to be on another one.
    """
    states = [Counter(each["state"] for each in about["replicas"]) for about in application["deployments"].values()]
    targets = [about.get("target") for about in application["deployments"].values()]
    return (
        application["status"] == UNHEALTHY
        and any(each[STOPPING] for each in states)
        and all(each.keys() <= {RUNNING, STOPPING} for each in states)
        and [each[RUNNING] for each in states] == targets
    )


NO_ANSWER = Cluster(error=f"{layout.LIBEXEC}/raylab_report.py gave no answer on the head: run it there to see why")


def report_arguments() -> dict[str, Any]:
    """The arguments of NodeReport for this Mac."""
    return {
        "release_id": the_release().id,
        "names": tuple(host_names(the_fleet())),
        **(_cluster(the_fleet()) if this_mac().is_head else {}),
    }


def _cluster(fleet: Fleet) -> dict[str, int]:
    return {"gcs": fleet.ports.gcs, "dashboard": fleet.ports.dashboard}


def seen_by_head(fleet: Fleet | None = None) -> Cluster:
    """What Ray and Serve say on the head; also when --limit leaves it out of the run, for it is looked at only.

    `fleet` is given for another cluster than the one that this run is about.
    """
    fleet = fleet or the_fleet()
    report = _of_head(fleet, NodeReport, lambda: report_arguments() | _cluster(fleet))
    return report.cluster or NO_ANSWER


def serve_config(fleet: Fleet, kept: bool = False) -> str:
    """What Serve in the fleet's cluster was told, as it stands on its head; or, `kept`, what that would go back to."""
    return _of_head(fleet, ServeConfig, lambda: {"port": fleet.ports.gcs, "kept": kept})


def _of_head(fleet: Fleet, fact: type[FactBase[T]], arguments: Callable[[], dict[str, Any]]) -> T:
    """A fact of the head; also when --limit leaves it out of the run. Raises what UNREACHED has."""
    head = state.inventory.get_host(fleet.head.name)
    with on(head):
        found: T = _anew(head, fact, arguments()) if _is_cut_off(head) else head.get_fact(fact, **arguments())
    return found


def _is_cut_off(head: Host) -> bool:
    """Whether this run has lost its connection to the head, which holds it no more and gets no command."""
    return isinstance(head.connector, MacConnector) and head.connector.lease is not None and head.connector.lease.late


def _anew(head: Host, kind: type[FactBase[T]], arguments: Mapping[str, Any]) -> T:
    """The head may be there again. It is only looked at. Raises PyinfraError when it does not answer."""
    fact = kind()
    command = StringCommand("sh", "-c", QuoteString(fact.command(**arguments)))
    with new_connection(state, head) as connector:
        done, output = connector.run_shell_command(command, print_output=False, print_input=False, _sudo=True)
    if not done:
        raise PyinfraError(f"{head.name} cannot be asked: {output.stderr}")
    return fact.process(output.stdout_lines)
