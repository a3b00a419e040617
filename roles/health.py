"""The health check: look at every Mac, ask every Mac for a generation, say what is wrong and what to do."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyinfra.context import host, state

from fleet import gateway
from fleet.firewall import Filter
from fleet.health import Check, evaluate
from fleet.seen import Answer, Cluster, Job, MacHealth
from fleet.settings import Fleet, Mac
from macos.facts.gateway import Answered, Status
from macos.facts.jobs import JobTimes
from macos.facts.pf import PacketFilter
from macos.facts.report import MacReport
from macos.facts.running import Generations, Tried
from roles import announce, contents, sides, weights
from roles.context import everyone, the_fleet, this_mac
from roles.gateway import client_context, current, days_left, key_file, loaded_url, trusted
from roles.jobs import job_arguments
from roles.report import NO_ANSWER, NodeReport, report_arguments

# The first request after a start imports what it needs.
GENERATION_TIMEOUT_S = 180
# A Mac on itself, twice.
OWN_TIMEOUT_S = 60


def report() -> None:
    """Print the table, write the JSON report if asked for, end with 1 when something is wrong."""
    announce.for_the_fleet()
    macs = observe()
    asked = [mac.name for mac in state.inventory if state.is_host_in_limit(mac)]
    silent = [name for name in asked if name not in macs]
    unseen = [mac.name for mac in the_fleet().macs if mac.name not in asked]
    cluster = None if the_fleet().head.name in silent else head_cluster(asked)
    checks = evaluate(the_fleet(), announce.quiet_plan(), macs, cluster, silent, sides.under_way())
    wrong = [check for check in checks if not check.ok]
    verdict = f"{len(wrong)} of {len(checks)} checks failed" if wrong else f"all {len(checks)} checks passed"
    announce.say(*table(checks))
    announce.say(f"{the_fleet().name}: {verdict}" + (f"; not asked: {', '.join(unseen)}" if unseen else ""))
    if path := host.data.get("report"):
        write(Path(path), checks)
    announce.end(1 if wrong else 0)


def head_cluster(asked: Sequence[str]) -> Cluster | None:
    """What the head says of Ray and Serve; None when this run leaves the head out."""
    head = the_fleet().head.name
    if head not in asked:
        return None
    report = everyone(NodeReport, report_arguments).get(head)
    return (report.cluster if report else None) or NO_ANSWER


def observe() -> dict[str, MacHealth]:
    """What is seen of every Mac of this run."""
    fleet, facts = the_fleet(), everyone(MacReport)
    jobs, nodes = everyone(JobTimes, job_arguments), everyone(NodeReport, report_arguments)
    whole = {stored.path: weights.whole(stored) for stored in fleet.stored}
    reread = contents.reread() if host.data.get("deep") else {}
    filters = everyone(PacketFilter) if fleet.firewall else {}
    own, offered = everyone(Generations, _own), everyone(Status, _ready)
    doors = _doors(everyone(Answered, _loaded))
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(facts, pool.map(lambda name: ask(fleet, fleet.mac(name)), facts), strict=True))
    return {
        name: MacHealth(
            facts=facts[name],
            jobs=tuple(Job(job.label, job.pid, job.seconds, job.last_exit) for job in jobs[name]),
            versions=nodes[name].versions,
            resolves=nodes[name].resolves,
            weights=frozenset(path for path, by_mac in whole.items() if by_mac.get(name)),
            memory_free_bytes=nodes[name].memory_free,
            answer=answers[name],
            own=_wrong(own.get(name, {}), offered.get(name, "000")),
            filter=filters.get(name, Filter()),
            door_current=doors.get(name),
            contents=reread.get(name, ()),
        )
        for name in facts
        if name in jobs and name in nodes
    }


def _own() -> dict[str, Any]:
    """For the fact Generations: what this Mac is to serve, asked on it, since a door asks any Mac."""
    models = [model.id for model in announce.quiet_plan().models_on(this_mac())]
    url = f"http://{this_mac().node_ip}:{sides.now(host.name).ports.serve_http}/v1"
    return {"url": url, "models": models, "rounds": 2, "within": OWN_TIMEOUT_S, "patient": False}


def _ready() -> dict[str, Any]:
    """For the fact Status: what all doors ask this Mac before they send it anything."""
    at, ports = this_mac().node_ip, sides.now(host.name).ports
    header = f"{gateway.UPSTREAM_HEADER}: {at}:{ports.serve_http}"
    return {"url": f"http://{at}:{ports.door_ready}{gateway.READY_PATH}", "header": header}


def _loaded() -> dict[str, Any]:
    return {"url": loaded_url()}


def _doors(loaded: Mapping[str, str]) -> dict[str, bool]:
    """As gateway.current; a key that cannot be read is told by the question of each Mac."""
    try:
        return current(loaded)
    except (OSError, ValueError):
        return {}


def _wrong(own: Mapping[str, Tried], offered: str) -> dict[str, str]:
    """What of it did not go well."""
    unready = {"whether it takes requests": f"HTTP {offered}"} if offered != "200" else {}
    return {**{model: tried.error for model, tried in own.items() if tried.error}, **unready}


def ask(fleet: Fleet, mac: Mac) -> Answer:
    """The model list, and a short generation of each model, through one Mac."""
    url = f"{gateway.url(fleet, mac)}/v1"
    started, tokens = time.monotonic(), {}
    models: tuple[str, ...] = ()
    days = None
    try:
        days = days_left(fleet, mac)
        asks = _client(fleet)
        models = tuple(model["id"] for model in asks(f"{url}/models")["data"])
        for model in models:
            body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
            tokens[model] = asks(f"{url}/chat/completions", body)["usage"]["completion_tokens"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Answer(models, tokens, time.monotonic() - started, f"{url}: {error}", days)
    return Answer(models, tokens, time.monotonic() - started, days=days)


def _client(fleet: Fleet) -> Callable[..., Any]:
    """What asks a door as any client does: with an API key, and trusting the fleet's CA. Raises OSError."""
    trust = trusted(fleet)
    # The Macs are asked themselves, whatever proxy this machine uses.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if trust:
        handlers.append(urllib.request.HTTPSHandler(context=client_context(trust)))
    opener = urllib.request.build_opener(*handlers)
    key = key_file(fleet).read_text().strip()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def ask(url: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        data = None if body is None else json.dumps(body).encode()
        with opener.open(urllib.request.Request(url, data, headers), timeout=GENERATION_TIMEOUT_S) as answer:
            return json.load(answer)

    return ask


def table(checks: Sequence[Check]) -> list[str]:
    """One line a check; what to do stands below what is wrong."""
    width = max(len(check.name) for check in checks)
    macs = max(len(check.mac or "fleet") for check in checks)
    lines = []
    for check in checks:
        mark = "ok   " if check.ok else "WRONG"
        lines.append(f"{mark}  {check.mac or 'fleet':<{macs}}  {check.name:<{width}}  {check.found}")
        if not check.ok:
            lines.append(" " * (9 + macs + width) + f"→ {check.fix}")
    return lines


def write(path: Path, checks: Sequence[Check]) -> None:
    """The JSON report, whole or not at all."""
    result = {"ok": all(check.ok for check in checks), "checks": [check.as_dict() for check in checks]}
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(path)
    print(f"written: {path}", file=sys.stderr)
