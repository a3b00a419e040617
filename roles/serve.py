"""Serve: every model and every application, applied by a job on the head whenever the cluster is new."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent
import yaml
from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from fleet import layout
from fleet.health import Lack, lacks
from fleet.seen import Cluster
from fleet.serve import serve_config
from macos.operations import files
from macos.operations.files import TextFile
from macos.quiet import Commands, mac_operation
from roles import announce
from roles.context import the_fleet
from roles.ray import daemon, wrapper
from roles.report import seen_by_head
from roles.told import told_plan

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
    kept()
    served(PATIENCE_S, name="Every model is served")


@deploy("Serve's keeper")
def kept() -> None:
    """The config, and the job that applies it."""
    files.tree(files=[config()], name="Serve config")
    daemon(layout.SERVE_LABEL, programs())


def config(path: str = layout.SERVE_CONFIG) -> TextFile:
    """The Serve config. Its job reads it again and again: a new one restarts no job."""
    text = yaml.safe_dump(serve_config(the_fleet(), announce.quiet_plan()), sort_keys=False, allow_unicode=True)
    return TextFile(path, text, group=layout.ACCOUNT, mode="0640")


def programs(libexec: str = layout.LIBEXEC) -> list[TextFile]:
    """What Serve's job reads at its start."""
    return [wrapper(name, libexec) for name in ("raylab-trim", "raylab-serve", "raylab_serve.py")]


def missing(cluster: Cluster) -> list[Lack]:
    """What keeps what Serve was told of from being served by every Mac of this run.

    A Mac that failed earlier, or that --limit leaves out, is not waited for.
    """
    present = {mac.name for mac in state.inventory.get_active_hosts()}
    absent = frozenset(mac.name for mac in the_fleet().macs) - present
    return lacks(the_fleet(), told_plan(), cluster, absent)


class Patience:
    """For how long to wait: while anything may only need time, `most` seconds; for what has failed, GIVEN_UP_S."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._failed: dict[str, float] = {}

    def over(self, waited: float, lacking: Sequence[Lack]) -> bool:
        """Whether to wait no more, after `waited` seconds."""
        # Serve is told to try again what has failed: until it is there, it counts as failed since it was first seen so.
        self._failed = {
            lack.name: self._failed.get(lack.name, waited)
            for lack in lacking
            if lack.name in self._failed or (lack.failed and waited > SETTLED_S)
        }
        since = [self._failed.get(lack.name, self._most) for lack in lacking]
        return waited > min(self._most, max(since) + GIVEN_UP_S)

    def said(self, lacking: Sequence[Lack]) -> str:
        """What is missing: what has failed, then what is not there yet."""
        failed = [str(lack) for lack in lacking if lack.name in self._failed]
        loading = [str(lack) for lack in lacking if lack.name not in self._failed]
        return "; ".join([*failed, *(["not there yet: " + "; ".join(loading)] if failed and loading else loading)])


@mac_operation("serve.served")
def served(patience: int) -> Commands:
    """Wait until Ray has every Mac and Serve every replica and application, at most `patience` seconds."""
    if not missing(seen_by_head()):
        host.noop("every replica runs")
        return
    yield FunctionCommand(_wait, [patience], {})


def _wait(state: State, host: Host, patience: int) -> bool:
    """Poll the head, telling the person what is still missing."""
    started, said, limit = time.monotonic(), 0.0, Patience(patience)
    while lacking := missing(seen_by_head()):
        waited = time.monotonic() - started
        if limit.over(waited, lacking):
            host.log_styled(f"not served after {waited:.0f} s: {limit.said(lacking)}", fg="red", log_func=logger.error)
            advice = "Serve goes on with all of it by itself; deploy/logs.py --data job=serve says how far"
            host.log(advice, logger.error)
            return False
        if waited - said >= SAY_EVERY_S:
            said = waited
            host.log(f"{waited:.0f} s: {limit.said(lacking)}", logger.info)
        gevent.sleep(POLL_S)
    host.log(f"every replica runs, {time.monotonic() - started:.0f} s", logger.info)
    return True
