"""The door's job: which doors restart, and so have to do it one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from depot.keys import key_path
from fleet.gateway import digest
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


def test_a_door_is_current_with_the_keys_and_settings_of_this_machine_whatever_its_certificate(fleet: Fleet) -> None:
    alpha, beta, gamma = fleet.macs
    right = {mac.name: digest(gateway.caddyfile(mac, ["a certificate"])) for mac in fleet.macs}
    assert gateway.current(right) == {alpha.name: True, beta.name: True, gamma.name: True}
    # Nothing is known of a door that does not answer.
    assert gateway.current({alpha.name: "", beta.name: right[alpha.name]}) == {beta.name: False}
    context.remember(replace(fleet, macs=(alpha, beta, replace(gamma, node_ip="10.77.0.99"))))
    assert gateway.current(right) == {alpha.name: False, beta.name: False, gamma.name: False}


def test_a_door_without_a_new_key_is_not_current_and_looking_makes_none(fleet: Fleet) -> None:
    loaded = {fleet.head.name: digest(gateway.caddyfile(fleet.head))}
    context.remember(replace(fleet, api_keys=("default", "chat")))
    assert gateway.current(loaded) == {fleet.head.name: False}
    assert not key_path(gateway.secrets(), "chat").exists()
    loaded = {fleet.head.name: digest(gateway.caddyfile(fleet.head))}
    assert gateway.current(loaded) == {fleet.head.name: True}
    # Renewed.
    key_path(gateway.secrets(), "chat").unlink()
    assert gateway.current(loaded) == {fleet.head.name: False}
    gateway.caddyfile(fleet.head)
    assert gateway.current(loaded) == {fleet.head.name: False}
