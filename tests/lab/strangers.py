"""Which TCP ports of the fleet answer somebody who is not in it: tries every port of every address.

Usage: python strangers.py [--json] [--ports FIRST-LAST] ADDRESS...

On a machine of the LAN: `lab client python tests/lab/strangers.py 10.77.0.11`. Half a minute for an address, or more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

# A port that says nothing at all is waited for so long.
PATIENCE_S = 2
AT_ONCE = 400


@dataclass
class Seen:
    """What one address said to connections."""

    answers: list[int] = field(default_factory=list)
    """Ports that took one."""
    refused: int = 0
    silent: int = 0


async def knock(address: str, port: int, seen: Seen) -> None:
    """One connection, closed at once."""
    # Streams would cost ten times as much, 65535 times.
    with socket.socket() as caller:
        caller.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(caller, (address, port))
        except ConnectionRefusedError:
            seen.refused += 1
        except (OSError, TimeoutError):
            seen.silent += 1
        else:
            seen.answers.append(port)


async def _walk(address: str, ports: range) -> Seen:
    seen, left = Seen(), iter(ports)

    async def worker() -> None:
        # An iterator that all workers share: each port is taken once.
        for port in left:
            await knock(address, port, seen)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    seen.answers.sort()
    return seen


def scan(addresses: Iterable[str], ports: range) -> dict[str, Seen]:
    """Every port of every address, one address after the other."""
    return {address: asyncio.run(_walk(address, ports)) for address in addresses}


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ports", default="1-65535", metavar="FIRST-LAST")
    parser.add_argument("addresses", nargs="+", metavar="ADDRESS")
    options = parser.parse_args()
    first, last = map(int, options.ports.split("-"))
    found = scan(options.addresses, range(first, last + 1))
    if options.json:
        print(json.dumps({address: asdict(seen) for address, seen in found.items()}))
        return
    width = max(map(len, found))
    print(f"{'ADDRESS':<{width}}  {'REFUSED':>7}  {'SILENT':>6}  ANSWERS")
    for address, seen in found.items():
        answers = " ".join(map(str, seen.answers)) or "none"
        print(f"{address:<{width}}  {seen.refused:>7}  {seen.silent:>6}  {answers}")


if __name__ == "__main__":
    main()
