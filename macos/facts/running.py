"""Facts about what a Mac runs at this moment: its jobs as launchd has loaded them, and what passes through Serve."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pyinfra.api.facts import FactBase

from fleet.layout import (
    NEXT_RAY_LABEL,
    NEXT_SERVE_CONFIG,
    PLISTS,
    PREVIOUS,
    RAY_LABEL,
    RELEASES,
    SERVE_CONFIG,
    UPGRADE,
)
from fleet.rollback import Turned

from .launchd import parse_print, plist_path

_DIGEST = "RAYLAB_DIGEST"
_RELEASE = "RAYLAB_RELEASE"
_STATUS = re.compile(r"(\d{3}) ([0-9.]+)")
# Serve listens a moment after its replicas run.
_PATIENT = "-m 180 --retry 30 --retry-delay 2 --retry-connrefused --retry-max-time 120"
_HERE = "-H 'X-Raylab-Here: 1'"
_STARTS = "ray_serve_replica_startup_latency_ms"
_START = re.compile(_STARTS + r'_(?P<what>sum|count)\{.*\bapplication="(?P<application>[^"]*)".*\} (?P<value>\S+)')
_STRING = re.compile(r"\s*<string>(.*)</string>")
# What of Ray's arguments says which cluster a node is in.
_WHERE = re.compile(r"--(port|address|node-ip-address)=([0-9.:]+)")


@dataclass(frozen=True)
class RunningJobs:
    """Some jobs, and the release of the one that comes last."""

    digests: Mapping[str, str] = field(default_factory=dict)
    """What each was started with, by label; none of jobs that launchd has not loaded."""
    release: str = ""
    """The path of the release; empty when that job is not loaded."""
    files: tuple[str, ...] = ()
    """The names of the packages and wheels that the release was made of; of the plist's when the job is not loaded."""


class Running(FactBase[RunningJobs]):
    """The jobs `labels` as loaded. A launchd that prints no environment leaves the plist as the only witness."""

    def command(self, labels: Sequence[str]) -> str:
        """What launchd prints, the two lines of each plist, and the manifest of every release. Never fails."""
        self.labels = tuple(labels)
        each = "".join(
            f"echo '## {label}'; launchctl print {shlex.quote(f'system/{label}')} 2>/dev/null; "
            f"echo '## plist {label}'; grep -A1 -E '<key>{_DIGEST}|<key>{_RELEASE}' {plist_path(label)} 2>/dev/null; "
            for label in labels
        )
        manifests = f'for file in {RELEASES}/*/manifest.json; do [ -f $file ] && echo "## $file" && cat $file; done'
        return f"{each}{manifests}; true"

    @staticmethod
    def default() -> RunningJobs:
        """None is loaded."""
        return RunningJobs()

    def process(self, output: list[str]) -> RunningJobs:
        """Puts the parts together."""
        sections: dict[str, list[str]] = {}
        name = ""
        for line in output:
            if line.startswith("## "):
                name = line[3:]
            else:
                sections.setdefault(name, []).append(line)
        found = {label: _environment(sections, label) for label in self.labels}
        digests = {label: each[_DIGEST] for label, each in found.items() if _DIGEST in each}
        release = found[self.labels[-1]].get(_RELEASE, "")
        laid = release or _plist(sections, self.labels[-1]).get(_RELEASE, "")
        manifest = json.loads("\n".join(sections.get(f"{laid}/manifest.json", [])) or "{}")
        return RunningJobs(digests, release, tuple(file["name"] for file in manifest.get("files", ())))


def _environment(sections: Mapping[str, list[str]], label: str) -> Mapping[str, str]:
    """The two variables of one job; empty when it is not loaded."""
    top, environment = parse_print(sections.get(label, []))
    return environment if not top or environment else _plist(sections, label)


def _plist(sections: Mapping[str, list[str]], label: str) -> Mapping[str, str]:
    """The two variables as its file has them; empty when there is none."""
    lines = sections.get(f"plist {label}", [])
    return {
        key: match[1]
        for before, line in pairwise(lines)
        for key in (_DIGEST, _RELEASE)
        if f"<key>{key}<" in before and (match := _STRING.fullmatch(line))
    }


@dataclass(frozen=True)
class Joined:
    """Which Ray clusters a Mac belongs to, each by the address of its head, `10.77.0.11:6379`; empty when to none."""

    cluster: str = ""
    """Where its node is, or will be when its job is started again."""
    next: str = ""
    """Of which cluster that is coming it is the head, beside that."""
    kept: str = ""
    """Where it would be after going back to what it ran before its last turn."""


class Clusters(FactBase[Joined]):
    """Which Ray clusters this Mac belongs to: as launchd has loaded the jobs, or else as their plists say."""

    def command(self) -> str:
        """A line with its cluster's name before each option that tells. Never fails."""
        commands = {
            "cluster": f"{{ launchctl print system/{RAY_LABEL} || cat {plist_path(RAY_LABEL)}; }}",
            "next": f"{{ launchctl print system/{NEXT_RAY_LABEL} || cat {plist_path(NEXT_RAY_LABEL)}; }}",
            "kept": f"cat {PREVIOUS}{plist_path(RAY_LABEL)}",
        }
        told = f"grep -oE -e '{_WHERE.pattern}'"
        return "".join(f"{each} 2>/dev/null | {told} | sed 's/^/{at} /'; " for at, each in commands.items()) + "true"

    @staticmethod
    def default() -> Joined:
        """None."""
        return Joined()

    def process(self, output: list[str]) -> Joined:
        """A head tells its port and its own address, a worker its head's."""
        found: dict[str, dict[str, str]] = {}
        for line in output:
            name, _, option = line.partition(" ")
            if match := _WHERE.fullmatch(option):
                found.setdefault(name, {})[match[1]] = match[2]
        return Joined(**{name: _address(options) for name, options in found.items()})


def _address(options: Mapping[str, str]) -> str:
    return options.get("address") or f"{options.get('node-ip-address', '')}:{options.get('port', '')}"


class ServePort(FactBase[int]):
    """The port that the Serve config on this Mac names; 0 without one. Serve keeps to it while its cluster lives."""

    def command(self) -> str:
        """The line below `http_options`. Never fails."""
        return f"grep -A2 '^http_options:' {SERVE_CONFIG} 2>/dev/null; true"

    @staticmethod
    def default() -> int:
        """There is none."""
        return 0

    def process(self, output: list[str]) -> int:
        """Of the line `  port: 8000`."""
        found = [line.split(":")[1] for line in output if line.strip().startswith("port:")]
        return int(found[0]) if found else 0


class ServeConfig(FactBase[str]):
    """The Serve config of the cluster whose head this Mac is; empty without one.

    `port` is that of Ray's control service, as a Mac may be the head of a cluster that is coming as well. `kept` asks
    for what would be gone back to.
    """

    def command(self, port: int, kept: bool = False) -> str:
        """What another Mac than a head has in that file is left over from when it was one. Never fails."""
        if kept:
            return f"cat {PREVIOUS}{SERVE_CONFIG} 2>/dev/null; true"
        configs = {RAY_LABEL: SERVE_CONFIG, NEXT_RAY_LABEL: NEXT_SERVE_CONFIG}
        each = [f"if grep -q '>--port={port}<' {plist_path(job)}; then cat {file}; " for job, file in configs.items()]
        return f"{{ {'el'.join(each)}fi; }} 2>/dev/null; true"

    @staticmethod
    def default() -> str:
        """There is none."""
        return ""

    def process(self, output: list[str]) -> str:
        """As it stands there."""
        return "\n".join(output)


class KeptJobs(FactBase[list[str]]):
    """The jobs of what can be gone back to, by label."""

    def command(self) -> str:
        """Never fails."""
        return f"ls {PREVIOUS}{PLISTS} 2>/dev/null; true"

    @staticmethod
    def default() -> list[str]:
        """Nothing is kept."""
        return []

    def process(self, output: list[str]) -> list[str]:
        """One file a line."""
        return [line.removesuffix(".plist") for line in output if line.endswith(".plist")]


class Kept(FactBase[str]):
    """What the job of the plist kept at `path` was started with; empty when nothing is kept."""

    def command(self, path: str) -> str:
        """The line below the key. Never fails."""
        return f"grep -A1 '<key>{_DIGEST}<' {shlex.quote(path)} 2>/dev/null; true"

    @staticmethod
    def default() -> str:
        """Nothing is kept."""
        return ""

    def process(self, output: list[str]) -> str:
        """The string of the plist."""
        match = _STRING.fullmatch(output[-1])
        return match[1] if match else ""


class Turns(FactBase[Turned]):
    """The numbers of the upgrades in whose turns came what this Mac runs, and what it keeps to go back to."""

    def command(self) -> str:
        """A line each, and that of the kept plist which names the release. Never fails."""
        numbers = {"upgrade": UPGRADE, "kept": f"{PREVIOUS}{UPGRADE}"}
        each = "".join(f"sed 's/^/{name} /' {path} 2>/dev/null; " for name, path in numbers.items())
        return f"{each}grep -A1 '<key>{_RELEASE}<' {PREVIOUS}{plist_path(RAY_LABEL)} 2>/dev/null; true"

    @staticmethod
    def default() -> Turned:
        """It had none."""
        return Turned()

    def process(self, output: list[str]) -> Turned:
        """Puts the lines together."""
        told = dict(line.split(" ", 1) for line in output if " " in line and "<" not in line)
        releases = [match[1].rpartition("/")[2] for line in output if (match := _STRING.fullmatch(line))]
        kept = int(told["kept"]) if "kept" in told else None
        return Turned(int(told.get("upgrade", 0)), kept, *releases)


class Ongoing(FactBase[int | None]):
    """How many requests Serve's proxy and the replicas of this Mac work on, by Ray's metrics: up to 10 s old.

    They are asked at the port that Ray was started with, which the settings may have changed since.
    A request may count twice, as one of the proxy's and one of a replica's. None when Ray is there and does not tell.
    With an `application`, only those that its replicas work on.
    """

    def command(self, address: str, application: str = "") -> str:
        """A Mac without Ray has no requests; nor one on which nobody listens, curl's status 7. Never fails."""
        names = "ray_serve_(num_ongoing_http_requests|replica_processing_queries)"
        of = f' && index($0, "application=\\"{application}\\"")' if application else ""
        total = f"awk '/^{names}[{{ ]/{of} {{ sum += $NF }} END {{ print sum + 0 }}'"
        port = f"$(launchctl print system/{RAY_LABEL} 2>/dev/null | sed -n 's/.*--metrics-export-port=//p')"
        asked = f'curl -sf -m 10 "http://{address}:$port/metrics"'
        return (
            f'port={port}; if [ -n "$port" ]; then told=$({asked}); else told=; fi; '
            f'case $? in 0|7) echo "$told" | {total};; esac; true'
        )

    @staticmethod
    def default() -> None:
        """Not told."""
        return

    def process(self, output: list[str]) -> int | None:
        """The sum, if it was told."""
        return int(float(output[-1])) if output else None


class Starts(FactBase[dict[str, float]]):
    """Seconds from the order for a replica until it was ready, by Serve application, by Ray's metrics at `url`.

    The mean of those that this cluster has started; the Mac with Serve's controller has them, others have none.
    """

    def command(self, url: str) -> str:
        """The sums and the counts. Never fails."""
        return f"curl -s -m 10 {shlex.quote(url)} | grep -E '^{_STARTS}_(sum|count)'; true"

    @staticmethod
    def default() -> dict[str, float]:
        """Nothing is known."""
        return {}

    def process(self, output: list[str]) -> dict[str, float]:
        """By application; a histogram's sum over its count."""
        told: dict[tuple[str, str], float] = {}
        for line in output:
            if match := _START.match(line):
                told[match["application"], match["what"]] = float(match["value"])
        return {name: told[name, "sum"] / 1000 / told[name, "count"] for name, what in told if what == "count"}


@dataclass(frozen=True)
class Tried:
    """What one model answered on this Mac."""

    seconds: float
    """The fastest answer, without the first one, which may import what it needs."""
    error: str = ""
    """Empty when every answer had tokens."""


class Generations(FactBase[dict[str, Tried]]):
    """A few short generations of each of `models`, asked at `url` on the Mac itself."""

    def command(
        self,
        url: str,
        models: Sequence[str],
        rounds: int = 4,
        within: int = 30,
        patient: bool = True,
        here: Sequence[str] = (),
    ) -> str:
        """Each answer, then a line with its status and seconds. Never fails; no proxy is asked.

        `patient` waits for a Serve that does not listen yet, else each answer has to come `within` so many seconds.
        The models `here` may be answered by this Mac's own replicas only. A model that fails is asked no more.
        """
        curl = f"curl -s --fail-with-body --noproxy '*' {_PATIENT if patient else f'-m {within}'}"
        curl += " -w '\\n%{http_code} %{time_total}\\n'"
        curl += f" -H 'Content-Type: application/json' {shlex.quote(f'{url}/chat/completions')}"
        each = "".join(
            f"echo {shlex.quote(f'## {model}')}; for round in {' '.join(map(str, range(rounds)))}; do "
            f"{curl} {_HERE if model in here else ''} -d {shlex.quote(_question(model))} || break; done; "
            for model in models
        )
        return f"{each}true"

    @staticmethod
    def default() -> dict[str, Tried]:
        """None was asked."""
        return {}

    def process(self, output: list[str]) -> dict[str, Tried]:
        """By model."""
        parts: dict[str, list[str]] = {}
        for line in output:
            if line.startswith("## "):
                parts[line[3:]] = []
            elif line and parts:
                parts[next(reversed(parts))].append(line)
        return {model: _tried(lines) for model, lines in parts.items()}


def _question(model: str) -> str:
    messages = [{"role": "user", "content": "Hello"}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 8, "temperature": 0})


def _tried(lines: Sequence[str]) -> Tried:
    """`lines` are bodies, each answer's followed by its status; what curl tried again has bodies of its own before."""
    answers: list[tuple[str, str, str]] = []
    body = ""
    for line in lines:
        if status := _STATUS.fullmatch(line):
            answers.append((body, status[1], status[2]))
            body = ""
        else:
            body = line
    for said, code, _ in answers:
        if code != "200" or '"completion_tokens":0' in said.replace(" ", ""):
            return Tried(0.0, f"HTTP {code}: {said[:600]}")
    if len(answers) < 2:
        return Tried(0.0, " ".join(lines)[:300] or "no answer")
    return Tried(min(float(seconds) for _, _, seconds in answers[1:]))
