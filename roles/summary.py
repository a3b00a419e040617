"""The last words of a converge: the fleet, its endpoint, and a line to paste."""

from __future__ import annotations

import atexit
import json
import sys

from pyinfra.context import host, state

from fleet.settings import Fleet
from macos.quiet import Commands, mac_operation
from roles import announce
from roles.context import the_fleet


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
    port, rows = fleet.ports.serve_http, []
    width = max(len(mac.name) for mac in fleet.macs)
    for row in announce.plan().macs:
        url = f"http://{row.mac.node_ip}:{port}/v1"
        models = ", ".join(held.model.id for held in row.held) or "-"
        rows.append(f"  {row.mac.name:<{width}}  {row.mac.role:<6}  {url:<30}  {models}")
    failed = sorted(mac.name for mac in state.failed_hosts)
    lines = ["", f"Fleet {fleet.name}", *rows]
    if failed:
        lines.append(f"  failed in this run: {', '.join(failed)}; see above, then run it again")
    if fleet.models:
        body = {
            "model": fleet.models[0].id,
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 16,
        }
        url = f"http://{fleet.head.node_ip}:{port}/v1"
        lines += ["", f"Endpoint: {url}, and the same on every Mac", ""]
        header = "-H 'Content-Type: application/json'"
        lines += [f"curl -s {url}/chat/completions {header} -d '{json.dumps(body)}'"]
    return "\n".join([*lines, ""])
