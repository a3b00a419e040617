"""Serve: every model and every application, applied by a job on the head whenever the cluster is new."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent
import yaml
from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from fleet import layout
from fleet.health import FAILED, Cluster, cluster_checks
from fleet.serve import serve_config
from macos.operations import files
from macos.operations.files import TextFile
from macos.quiet import Commands, mac_operation
from roles import announce
from roles.context import the_fleet
from roles.ray import daemon, wrapper
from roles.report import head_view

if TYPE_CHECKING:
    from pyinfra.api.host import Host
    from pyinfra.api.state import State

# A large model takes minutes to load, on every Mac at the same time.
PATIENCE_S = 1800
# Serve gives a model up when it has failed three times; the job tells it to try again a minute later. What is given up
# at first may be what the job is only about to change.
SETTLED_S, GIVEN_UP_S = 30, 150
POLL_S = 3
SAY_EVERY_S = 15


@deploy("Serve")
def application() -> None:
    """The config, the job that applies it, and every replica running."""
    config = yaml.safe_dump(serve_config(the_fleet(), announce.plan()), sort_keys=False, allow_unicode=True)
    # The job reads it again and again: a new config restarts no job.
    file = TextFile(layout.SERVE_CONFIG, config, group=layout.ACCOUNT, mode="0640")
    files.tree(files=[file], name="Serve config")
    daemon(layout.SERVE_LABEL, [wrapper("raylab-serve"), wrapper("raylab_serve.py")])
    served(PATIENCE_S, name="Every model is served")


def shortcomings(cluster: Cluster) -> str:
    """What keeps the models from being served by every Mac of this run; empty when nothing does.

    A Mac that failed earlier, or that --limit leaves out, is not waited for.
    """
    present = {mac.name for mac in state.inventory.get_active_hosts()}
    absent = frozenset(mac.name for mac in the_fleet().macs) - present
    checks = cluster_checks(the_fleet(), announce.quiet_plan(), cluster, absent)
    return "; ".join(f"{check.name}: {check.found}" for check in checks if not check.ok)


@mac_operation("serve.served")
def served(patience: int) -> Commands:
    """Wait until Ray has every Mac and Serve every replica, at most `patience` seconds."""
    if not shortcomings(head_view()):
        host.noop("every replica runs")
        return
    yield FunctionCommand(_wait, [patience], {})


def _wait(state: State, host: Host, patience: int) -> bool:
    """Poll the head, telling the person what is still missing."""
    started, said, failed = time.monotonic(), 0.0, float("inf")
    while True:
        view = head_view()
        missing = shortcomings(view)
        waited = time.monotonic() - started
        if not missing:
            host.log(f"every replica runs, {waited:.0f} s", logger.info)
            return True
        if waited > SETTLED_S and any(each.status == FAILED for each in view.applications.values()):
            failed = min(failed, waited)
        if waited > min(patience, failed + GIVEN_UP_S):
            break
        if waited - said >= SAY_EVERY_S:
            said = waited
            host.log(f"{waited:.0f} s: {missing}", logger.info)
        gevent.sleep(POLL_S)
    host.log_styled(f"not served after {waited:.0f} s: {missing}", fg="red", log_func=logger.error)
    host.log("Serve goes on with all of it by itself; deploy/logs.py --data job=serve says how far", logger.error)
    return False
