"""Fleets of agents, on loopback addresses or each in a network namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from relay_harness import PACKAGE, Agent, Load

# Namespaces of the slow network.
HOSTS = 5
HOST = "relay-t{}"


class Fleet:
    """The agents of one test: the first is the seed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.agents: list[Agent] = []
        shutil.copytree(PACKAGE, home / "libexec" / "relay", ignore=shutil.ignore_patterns("__pycache__"))

    def address(self, number: int) -> str:
        """Of the agent with this number, from 0."""
        return f"127.0.3.{number + 1}"

    def agent(self, number: int, **listen: object) -> Agent:
        """A listening agent; a second one of the same number holds what the first one left."""
        agent = Agent(self.home, self.address(number), self.enter(number))
        self.agents.append(agent)
        agent.listen(**{"peers": [self.address(other) for other in range(HOSTS)], **listen})
        return agent

    def enter(self, _number: int) -> list[str]:
        """The command that runs another one where this agent is."""
        return []

    def start(self, count: int, *loads: Load, **listen: object) -> list[Agent]:
        """A seed and `count` others, who have looked at what they hold."""
        agents = [self.agent(number, **listen) for number in range(count + 1)]
        for number, agent in enumerate(agents):
            for load in loads:
                agent.hold(load, seed=number == 0)
        return agents

    def end(self) -> None:
        """End them all; none of them met a bug."""
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.kill()
            assert agent.errors.read_text() == ""


def chain(agents: list[Agent], load: Load) -> None:
    """Tell each to fetch from the one before it, and from those further up should it fail."""
    for number, agent in enumerate(agents[1:], 1):
        agent.fetch(load, *agents[:number][::-1])


class Lan(Fleet):
    """Agents that are hosts of a slow network."""

    def address(self, number: int) -> str:
        return f"10.77.3.{number + 1}"

    def enter(self, number: int) -> list[str]:
        return ["ip", "netns", "exec", HOST.format(number)]

    def received(self, number: int) -> int:
        """Bytes that have come to this host, headers and all."""
        shown = subprocess.check_output(["ip", "-n", HOST.format(number), "-s", "-j", "link", "show", "eth0"])
        return int(json.loads(shown)[0]["stats64"]["rx"]["bytes"])
