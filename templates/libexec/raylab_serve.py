"""Keeps the Serve config applied on Ray's head: whenever the cluster is new, or the file says something else.

Arguments: the config (YAML) and the dashboard's URL (default: RAY_DASHBOARD_ADDRESS). Runs for ever, under
launchd. Reads the token from RAY_AUTH_TOKEN_PATH. Output is the log: one line whenever something changes.
"""

from __future__ import annotations

import copy
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # comes with Ray

API = "/api/serve/applications/"
POLL_S = 2.0
TRIED_POLL_S = 0.2
TIMEOUT_S = 60.0
# Not through the proxy that System Settings may name: it would see the token.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# While a head comes back there is a moment without a controller; only what lasts is a new cluster.
EMPTY_POLLS = 4
# The same config is not sent again sooner than this, then twice that, and so on.
RETRY_S, RETRY_MOST_S = 60.0, 900.0
# Serve's own figure is 2: how often a replica that stops looks whether its requests are done.
NUDGE_S = 2.1
# Serve's word for what it tries no more.
FAILED = "DEPLOY_FAILED"

Config = Mapping[str, Any]


class Unavailable(Exception):
    """The dashboard does not answer, or not as expected; its text says how."""


@dataclass(frozen=True)
class Step:
    """What to do now, and why."""

    reason: str
    given_up: tuple[tuple[str, str], ...] = ()
    """Deployments, each with its application, that Serve is to try again."""


def say(text: str) -> None:
    """Writes one line of the log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} raylab-serve: {text}", flush=True)


def differences(wanted: Config, details: Config) -> list[str]:
    """What Serve would have to change to be as wanted, in words; empty when nothing.

    `details` is the answer of GET /api/serve/applications/: Serve keeps what it was given as it was given.
    """
    found = {
        name: application.get("deployed_app_config")
        for name, application in details.get("applications", {}).items()
        # One that is going away, while its replicas finish what they have begun, is as good as gone.
        if application.get("source", "declarative") == "declarative" and application.get("status") != "DELETING"
    }
    asked = {application["name"]: application for application in wanted.get("applications", [])}
    return [
        *(f"{name} is not there" for name in sorted(asked.keys() - found.keys())),
        *(f"{name} is not wanted any more" for name in sorted(found.keys() - asked.keys())),
        *(f"{name} differs" for name in sorted(asked.keys() & found.keys()) if asked[name] != found[name]),
    ]


def is_empty(details: Config) -> bool:
    """Whether Serve runs nothing: a new cluster, or one whose controller is not back yet."""
    return not details.get("applications")


def unbuilt(details: Config) -> tuple[str, ...]:
    """Applications that Serve could not build: it has no deployments of theirs, and builds them when told again."""
    return tuple(
        name
        for name, application in sorted(details.get("applications", {}).items())
        if application.get("status") == FAILED and not application.get("deployments")
    )


def given_up(details: Config) -> tuple[tuple[str, str], ...]:
    """Deployments that Serve starts no more, as (application, deployment): their replicas failed at every start."""
    return tuple(
        (name, deployment)
        for name, application in sorted(details.get("applications", {}).items())
        for deployment, about in sorted(application.get("deployments", {}).items())
        if about.get("status") == FAILED and not _running(about)
    )


def nudged(wanted: Config, deployments: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The config with a figure of these deployments changed that matters to nobody: Serve then counts from 0 again."""
    config = copy.deepcopy(dict(wanted))
    for application in config["applications"]:
        overrides = {override["name"]: override for override in application.get("deployments", [])}
        for owner, name in deployments:
            if owner == application["name"]:
                overrides.setdefault(name, {"name": name})["graceful_shutdown_wait_loop_s"] = NUDGE_S
        application["deployments"] = list(overrides.values())
    return config


def _running(deployment: Config) -> int:
    return sum(replica.get("state") == "RUNNING" for replica in deployment.get("replicas", []))


def next_step(wanted: Config, details: Config, empty_polls: int) -> Step | None:
    """What to do about the state of Serve; None when it is as it should be, or cannot be told yet."""
    if is_empty(details) and wanted.get("applications") and empty_polls < EMPTY_POLLS:
        return None
    if reasons := differences(wanted, details):
        return Step("; ".join(reasons))
    if failed := unbuilt(details):
        return Step(f"Serve could not build {', '.join(failed)}")
    if lost := given_up(details):
        return Step(f"Serve has given up {', '.join(deployment for _, deployment in lost)}", given_up=lost)
    return None


def summary(details: Config) -> str:
    """The state of all applications in one line."""
    parts = []
    for name, application in sorted(details.get("applications", {}).items()):
        deployments = [
            f"{deployment} {_running(about)}/{about.get('target_num_replicas', '?')}"
            for deployment, about in sorted(application.get("deployments", {}).items())
        ]
        # One that could not be built has none; how Serve's traceback ends says why.
        told = (application.get("message") or "").strip() or "no deployments yet"
        inside = ", ".join(deployments) or told.splitlines()[-1][:300]
        parts.append(f"{name} {application.get('status', '?')} ({inside})")
    return "; ".join(parts) or "no applications"


@dataclass
class Retry:
    """When the same step may be taken again: at once when it is a new one, then ever later."""

    key: str = ""
    pause: float = 0.0
    not_before: float = 0.0

    def allows(self, key: str, now: float) -> bool:
        """Whether to act now. Acting is recorded."""
        if key != self.key:
            self.key, self.pause = key, RETRY_S
        elif now < self.not_before:
            return False
        else:
            self.pause = min(2 * self.pause, RETRY_MOST_S)
        self.not_before = now + self.pause
        return True


@dataclass(frozen=True)
class Dashboard:
    """Ray's REST API on the head."""

    url: str
    token_path: str

    def call(self, method: str, path: str, body: Config | None = None) -> dict[str, Any]:
        """The answer, decoded; an empty one is an empty mapping. Raises Unavailable."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._authorization()},
        )
        try:
            with DIRECT.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read()
            decoded: dict[str, Any] = json.loads(text) if text.strip() else {}
            return decoded
        except urllib.error.HTTPError as error:
            last = error.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            raise Unavailable(f"{method} {path}: HTTP {error.code} {' '.join(last)[:500]}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"{method} {path}: {error}") from None

    def _authorization(self) -> dict[str, str]:
        # Read each time: a new token needs no restart.
        try:
            return {"Authorization": f"Bearer {Path(self.token_path).read_text().strip()}"}
        except OSError as error:
            raise Unavailable(f"token: {error.strerror}: {self.token_path}") from None


def read_config(path: Path) -> dict[str, Any]:
    """The config as data. Raises Unavailable when the file cannot be used."""
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Unavailable(f"config: {error}") from None
    if not isinstance(config, dict):
        raise Unavailable(f"config: {path} is not a mapping")
    return config


class Keeper:
    """Compares and applies, again and again; remembers what it has said."""

    def __init__(self, config: Path, dashboard: Dashboard) -> None:
        self.config = config
        self.dashboard = dashboard
        self.retry = Retry()
        self.empty_polls = 0
        self.said = ""

    def poll(self) -> None:
        """One round. Raises Unavailable."""
        wanted = read_config(self.config)
        details = self.dashboard.call("GET", API)
        self.empty_polls = self.empty_polls + 1 if is_empty(details) else 0
        self.tell(summary(details))
        step = next_step(wanted, details, self.empty_polls)
        if step is None:
            return
        # A cluster that has lost everything is a new matter, even if the config is the same.
        cluster = (details.get("controller_info") or {}).get("actor_id")
        key = json.dumps([wanted, cluster, step.reason], sort_keys=True, default=str)
        if self.retry.allows(key, time.monotonic()):
            self.apply(wanted, step)

    def apply(self, wanted: dict[str, Any], step: Step) -> None:
        """Sends the config. Raises Unavailable."""
        say(f"applying the config: {step.reason}")
        if step.given_up:
            self.dashboard.call("PUT", API, nudged(wanted, step.given_up))
            self.wait_until_tried(step.given_up)
        self.dashboard.call("PUT", API, wanted)
        say("config accepted")

    def wait_until_tried(self, deployments: Sequence[tuple[str, str]]) -> None:
        """Waits, for a minute at most, until Serve has seen what was changed of them. Raises Unavailable.

        It acts on a config a moment after it has accepted it: one that is changed back by then is none.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while set(deployments) & set(given_up(self.dashboard.call("GET", API))) and time.monotonic() < deadline:
            time.sleep(TRIED_POLL_S)

    def tell(self, text: str) -> None:
        """Logs what has changed since the last time."""
        if text != self.said:
            self.said = text
            say(text)

    def run(self) -> None:
        """For ever; nothing that the dashboard or the config does ends it."""
        while True:
            try:
                self.poll()
            except Unavailable as problem:
                self.tell(str(problem))
            except Exception as problem:
                # An answer in a form that nobody foresaw: the next one may be fine again.
                self.tell(f"unexpected: {type(problem).__name__}: {problem}")
            time.sleep(POLL_S)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs for ever; returns an exit status only when it cannot start."""
    url = arguments[1] if len(arguments) > 1 else environment.get("RAY_DASHBOARD_ADDRESS")
    token = environment.get("RAY_AUTH_TOKEN_PATH")
    if not arguments or not url or not token:
        say("usage: raylab-serve CONFIG [DASHBOARD_URL], with RAY_AUTH_TOKEN_PATH in the environment")
        return 2
    Keeper(Path(arguments[0]), Dashboard(url.rstrip("/"), token)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
