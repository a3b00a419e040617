"""The last words of a converge: the fleet, its endpoint, and a line to paste."""

from __future__ import annotations

import atexit
import json
import shlex
import sys

from pyinfra.context import host, state

from fleet import gateway
from fleet.settings import Fleet
from macos.quiet import Commands, mac_operation
from roles import announce
from roles.context import the_fleet
from roles.gateway import key_file, trusted


@mac_operation("summary.fleet")
def fleet() -> Commands:
    """Tells at the end of the run, below pyinfra's own results, what the fleet is now. Touches nothing on a Mac."""
    host.noop("nothing is left to do")
    if state.is_executing and not _said:
        _said.append(True)
        announce.remember(announce.plan())
        atexit.register(lambda: print(text(the_fleet()), file=sys.stderr))
    return
    yield


_said: list[bool] = []


def text(fleet: Fleet) -> str:
    """The table, the endpoint and the curl line."""
    rows = []
    width = max(len(mac.name) for mac in fleet.macs)
    for row in announce.plan().macs:
        url = f"{gateway.url(fleet, row.mac)}/v1"
        models = ", ".join(held.model.id for held in row.held) or "-"
        rows.append(f"  {row.mac.name:<{width}}  {row.mac.role:<6}  {url:<31}  {models}")
    failed = sorted(mac.name for mac in state.failed_hosts)
    lines = ["", f"Fleet {fleet.name}", *rows]
    if failed:
        lines.append(f"  failed in this run: {', '.join(failed)}; see above, then run it again")
    lines += _others(fleet)
    if fleet.models:
        lines += ["", f"Endpoint: {_host(fleet)}/v1, and the same on every Mac", *_entry(fleet), ""]
        lines.append(curl_line(fleet))
    return "\n".join([*lines, ""])


def _others(fleet: Fleet) -> list[str]:
    """What a Mac of this run still lacks while --limit leaves others out."""
    outside = [mac.name for mac in fleet.macs if not state.is_host_in_limit(state.inventory.get_host(mac.name))]
    if not outside:
        return []
    return [
        f"  not in this run: {', '.join(outside)}. A Mac that is new joins, and gets requests, when they know it:",
        "  run the same command without --limit",
    ]


def _entry(fleet: Fleet) -> list[str]:
    """What a client needs beside the address: files, never their contents."""
    keys = shlex.quote(str(key_file(fleet).parent))
    trust = trusted(fleet)
    return [
        f"API keys: {', '.join(fleet.api_keys)}, each a file in {keys}",
        *([f"CA for clients to trust: {shlex.quote(str(trust))}"] if trust and fleet.tls == "own" else []),
        *([] if trust else ["The door speaks plain HTTP: keys and prompts can be read on the network."]),
    ]


def curl_line(fleet: Fleet) -> str:
    """A request to the head's door, to be pasted. The shell that runs it reads the key from its file."""
    body = {"model": fleet.models[0].id, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
    trust = trusted(fleet)
    words = ["curl", "-s", *(["--cacert", shlex.quote(str(trust))] if trust and fleet.tls == "own" else [])]
    words += [
        f"{_host(fleet)}/v1/chat/completions",
        "-H",
        f'"Authorization: Bearer $(cat {shlex.quote(str(key_file(fleet)))})"',
    ]
    return " ".join([*words, "-H", "'Content-Type: application/json'", "-d", shlex.quote(json.dumps(body))])


def _host(fleet: Fleet) -> str:
    """The head's door; by the name that a certificate of the user's own is for, when it has one."""
    named = isinstance(fleet.tls, dict) and fleet.door_names
    return f"https://{fleet.door_names[0]}:{fleet.ports.door}" if named else gateway.url(fleet, fleet.head)
