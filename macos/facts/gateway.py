"""Facts about the door's Caddy: which programs are there, and what it has loaded."""

from __future__ import annotations

import shlex

from pyinfra.api.facts import FactBase


class Answered(FactBase[str]):
    """What this Mac answers to a GET of `url`, which is its own; empty when nothing answers well."""

    def command(self, url: str) -> str:
        """Never fails; no proxy is asked."""
        return f"curl -sf --noproxy '*' -m 5 {shlex.quote(url)} 2>/dev/null; true"

    @staticmethod
    def default() -> str:
        """Nothing answers."""
        return ""

    def process(self, output: list[str]) -> str:
        """As it came."""
        return "\n".join(output).strip()


class Status(FactBase[str]):
    """The HTTP status of what this Mac answers to a GET of `url`, which is its own; `000` when nothing answers."""

    def command(self, url: str, header: str) -> str:
        """Never fails; no proxy is asked."""
        curl = f"curl -s -o /dev/null --noproxy '*' -m 10 -H {shlex.quote(header)} -w '%{{http_code}}'"
        return f"{curl} {shlex.quote(url)}; true"

    @staticmethod
    def default() -> str:
        """Nothing answers."""
        return "000"

    def process(self, output: list[str]) -> str:
        """As it came."""
        return output[-1]


class Programs(FactBase[list[str]]):
    """The folders below `directory`, by full path, and the name of `wanted` itself when it can be run."""

    def command(self, directory: str, wanted: str) -> str:
        """Never fails."""
        return (
            f"find {shlex.quote(directory)} -mindepth 1 -maxdepth 1 -type d 2>/dev/null; "
            f"test -x {shlex.quote(wanted)} && echo {shlex.quote(wanted)}; true"
        )

    @staticmethod
    def default() -> list[str]:
        """None."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """As printed."""
        return output
