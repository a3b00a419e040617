"""What a Mac's own release says of it: versions, names, and on the head what Ray and Serve see."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api.facts import FactBase
from pyinfra.context import host

from fleet import layout
from fleet.health import RUNNING, Cluster, Deployed
from fleet.names import host_names
from fleet.ray import dashboard_url
from roles.context import the_fleet, the_release, this_mac


@dataclass(frozen=True)
class Report:
    """The answer of libexec/raylab_report.py. Empty when there is no release to ask, or it does not start."""

    versions: Mapping[str, str] = field(default_factory=dict)
    resolves: Mapping[str, str] = field(default_factory=dict)
    memory_free: int = 0
    cluster: Cluster | None = None
    """None on a Mac that is not the head."""


class NodeReport(FactBase[Report]):
    """Runs the report program with the release's own Python."""

    def command(self, release_id: str, names: tuple[str, ...], dashboard: str) -> str:
        """`dashboard` is empty on a Mac that is not the head. Never fails."""
        arguments = ["--resolve", *names]
        if dashboard:
            arguments += ["--head", "--dashboard", dashboard]
        python = f"{layout.env_dir(release_id)}/bin/python"
        program = f"{layout.LIBEXEC}/raylab_report.py"
        return f"{python} -I {program} {shlex.join(arguments)} 2>/dev/null || echo '{{}}'"

    @staticmethod
    def default() -> Report:
        """Nothing is known."""
        return Report()

    def process(self, output: list[str]) -> Report:
        """Parses the JSON object."""
        return parse(json.loads(output[-1]))


def parse(answer: Mapping[str, Any]) -> Report:
    """The report out of its JSON."""
    if not answer:
        return Report()
    versions = {"python": answer["python"], **answer["versions"]}
    head = answer.get("head")
    return Report(versions, answer["resolves"], answer["memory_free"], cluster(head) if head else None)


def cluster(head: Mapping[str, Any]) -> Cluster:
    """What the head sees, as health judges it."""
    return Cluster(
        nodes={node["ip"]: node["resources"] for node in head["nodes"] if node["state"] == "ALIVE"},
        applications={name: _deployed(application) for name, application in head["applications"].items()},
        error=head["error"],
    )


def _deployed(application: Mapping[str, Any]) -> Deployed:
    replicas = [replica for each in application["deployments"].values() for replica in each["replicas"]]
    running = sum(replica["state"] == RUNNING for replica in replicas)
    return Deployed(application["status"] or "", running, application["message"] or "")


NO_ANSWER = Cluster(error=f"{layout.LIBEXEC}/raylab_report.py gave no answer on the head: run it there to see why")


def report_arguments() -> dict[str, Any]:
    """The arguments of NodeReport for this Mac."""
    return {
        "release_id": the_release().id,
        "names": tuple(host_names(the_fleet())),
        "dashboard": dashboard_url(the_fleet()) if this_mac().is_head else "",
    }


def node_report() -> Report:
    """This Mac's report, asked now."""
    report: Report = host.get_fact(NodeReport, **report_arguments())
    return report


def head_view() -> Cluster:
    """What Ray and Serve say on this Mac, which is the head."""
    return node_report().cluster or NO_ANSWER
