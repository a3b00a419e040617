"""The door's job: which doors restart, and so have to do it one after the other."""

from __future__ import annotations

import pytest

from fleet.jobs import gateway_job
from fleet.layout import GATEWAY_LABEL
from fleet.settings import Fleet
from macos.facts.running import Running, RunningJobs
from macos.operations import launchd
from roles import context, gateway


@pytest.mark.parametrize(("loaded", "restarts"), [("", False), ("ours", False), ("another", True)])
def test_only_a_door_that_is_open_with_another_caddy_restarts(fleet: Fleet, loaded: str, restarts: bool) -> None:
    ours = launchd.job_plist(GATEWAY_LABEL, gateway_job(fleet.release(fleet.head)).plist)
    digests = {"ours": ours["EnvironmentVariables"][launchd.DIGEST], "another": "another"}
    found = RunningJobs({GATEWAY_LABEL: digests[loaded]} if loaded else {})
    context._answers[(Running, gateway._door)] = {fleet.head.name: found}
    assert gateway._restarts(fleet.head) == restarts
