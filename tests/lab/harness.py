"""What the lab tests do, as a person would: the same commands, through the same command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
INVENTORY = "inventory/lab.py"
# The same Macs with an engine that starts sooner.
ROLLING = "inventory/rolling.py"
ADDRESSES = {"alpha": "10.77.0.11", "beta": "10.77.0.12", "gamma": "10.77.0.13"}
MODEL = "tiny"
# What a client of the fleet has: the CA to trust, and a key.
CA = ROOT / ".lab/secrets/door-ca.pem"
KEY = ROOT / ".lab/secrets/api-keys/default"
JOBS = {
    "alpha": ("io.raylab.store", "io.raylab.ray", "io.raylab.serve", "io.raylab.gateway"),
    "beta": ("io.raylab.ray", "io.raylab.gateway"),
    "gamma": ("io.raylab.ray", "io.raylab.gateway"),
}


def door(mac: str) -> str:
    """The endpoint of one Mac."""
    return f"https://{ADDRESSES[mac]}:8443/v1"


def run(*command: str, timeout: float = 600, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository; its output is in the error when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def pyinfra(*arguments: str, check: bool = True, inventory: str = INVENTORY) -> subprocess.CompletedProcess[str]:
    """`pyinfra INVENTORY …`; options of pyinfra's may stand among the arguments."""
    return run(str(BIN / "pyinfra"), "-y", inventory, *arguments, check=check, timeout=1800)


def copied(name: str) -> Path:
    """A copy of the rolling fleet's inventory and settings, for a test that edits them as a person would."""
    folder = ROOT / ".lab" / "tests" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "inventory/group_data", folder / "group_data")
    return Path(shutil.copy(ROOT / ROLLING, folder)).relative_to(ROOT)


def killed(command: Sequence[str], seconds: Sequence[float]) -> list[int]:
    """Run a command again and again, each time killed hard after so many seconds; ends early when it has finished.

    The value is when it was killed, in whole seconds of each run.
    """
    done = []
    for after in seconds:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(after)
                return done
            except subprocess.TimeoutExpired:
                process.kill()
        done.append(round(after))
    return done


def killed_at(command: Sequence[str], *told: str) -> None:
    """Run a command until a line of what it says has all of these, and kill it hard then."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any(all(word in line for word in told) for line in process.stderr)
        process.kill()


def half_done(mac: str) -> str:
    """What an interrupted run may have left on a Mac: temporary names, a turn that is not over; empty when nothing."""
    names = "-name *.raylab-new -o -name *.partial -o -name *.new -o -path /opt/raylab/state/draining"
    return on(mac, f"find /opt/raylab /Library/LaunchDaemons /etc/hosts* -not -path */env/* \\( {names} \\)")


def lab(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`lab …`, the simulated Macs' command line."""
    return run(str(BIN / "lab"), *arguments, check=check)


def on(mac: str, script: str, check: bool = True) -> str:
    """Run a shell script as root on a Mac over SSH; its output."""
    return lab("ssh", mac, "sudo", "sh", "-c", f"'{script}'", check=check).stdout


def pids(mac: str) -> dict[str, int | None]:
    """The pid of each of raylab's jobs on a Mac, None while it has none."""
    found: dict[str, int | None] = {}
    for label in JOBS[mac]:
        text = on(mac, f"launchctl print system/{label}", check=False)
        match = re.search(r"^\tpid = (\d+)$", text, re.MULTILINE)
        found[label] = int(match[1]) if match else None
    return found


def all_pids() -> dict[str, dict[str, int | None]]:
    """The pids of every job in the fleet."""
    return {mac: pids(mac) for mac in JOBS}


def processes(mac: str) -> dict[int, str]:
    """Every process of the service account on a Mac: pid → command line."""
    text = on(mac, "ps -axww -o pid= -o user= -o command=")
    rows = (line.split(None, 2) for line in text.splitlines())
    return {int(row[0]): row[2] for row in rows if len(row) == 3 and row[1] == "_raylab"}


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 240, every: float = 5.0) -> float:
    """Wait until the condition holds; the seconds that took. Fails, naming what, when it does not.

    Looking at a whole fleet takes a second core's worth of work, which what is waited for needs more.
    """
    started = time.monotonic()
    last: object = None
    while time.monotonic() - started < seconds:
        try:
            last = condition()
        except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            last = error
        else:
            if last:
                return time.monotonic() - started
        time.sleep(every)
    raise AssertionError(f"after {seconds:.0f} s still waiting for {what}; last seen: {last!s:.2000}")


def health(inventory: str = INVENTORY) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and the checks of deploy/health.py."""
    report = ROOT / ".lab" / "health.json"
    report.unlink(missing_ok=True)
    done = run(str(BIN / "pyinfra"), "-y", "--data", f"report={report}", inventory, "deploy/health.py", check=False)
    if not report.exists():
        return done.returncode or 1, [{"name": "report", "ok": False, "found": done.stdout + done.stderr}]
    return done.returncode, json.loads(report.read_text())["checks"]


def healthy(inventory: str = INVENTORY) -> bool:
    """Whether every check passes; raises with the failing ones otherwise."""
    status, checks = health(inventory)
    wrong = [check for check in checks if not check["ok"]]
    if status or wrong:
        raise ValueError(json.dumps(wrong, indent=1))
    return True


def served() -> bool:
    """Whether Serve has every replica of the plan; raises with what it says otherwise."""
    wrong = [check for check in health()[1] if check["name"] in ("Serve", "report") and not check["ok"]]
    if wrong:
        raise ValueError(json.dumps(wrong, indent=1))
    return True


def find(mac: str, pattern: str) -> int:
    """The pid of the service account's first process whose command line matches."""
    found = [pid for pid, command in processes(mac).items() if re.search(pattern, command)]
    assert found, f"nothing on {mac} matches {pattern}"
    return found[0]


def kill_and_wait(mac: str, pattern: str, condition: Callable[[], bool], seconds: float = 600) -> float:
    """kill -9 a process; the seconds until another one has taken its place and the condition holds."""
    target = find(mac, pattern)
    on(mac, f"kill -9 {target}")
    return wait_for(f"a successor of {pattern} on {mac}", lambda: find(mac, pattern) != target and condition(), seconds)


def answers(mac: str) -> dict[str, Any]:
    """What the OpenAI client gets on the LAN machine `client` through one Mac."""
    return talked(mac, MODEL)


def talked(mac: str, model: str) -> dict[str, Any]:
    """The same, of one model."""
    done = lab("client", sys.executable, str(ROOT / "tests/lab/talk.py"), door(mac), model, str(CA), str(KEY))
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def changes(*arguments: str) -> dict[str, list[str]]:
    """Which operations a converge would change, by Mac."""
    command = ("--dry", "--json", *arguments, INVENTORY, "deploy/cluster.py")
    plan = json.loads(run(str(BIN / "pyinfra"), *command).stdout)["plan"]
    found: dict[str, list[str]] = {}
    for operation in plan:
        for name in operation["hosts_with_change"] + operation["hosts_with_conditional_change"]:
            found.setdefault(name, []).append(operation["name"])
    return found


@dataclass
class Load:
    """Requests sent while something happens, and what became of them."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The requests that got anything but a completion."""
        return [line for line in self.lines if line["error"]]


@contextmanager
def steady_load(*macs: str, per_second: float = 0.5) -> Iterator[Load]:
    """Chat requests from the LAN machine to each of the Macs at a steady rate, none retried."""
    urls = [door(mac) for mac in macs]
    script = str(ROOT / "tests/lab/load.py")
    command = [str(BIN / "lab"), "client", sys.executable, script, MODEL, str(per_second), *urls]
    command += ["--ca", str(CA), "--key", str(KEY)]
    load = Load()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    reader = threading.Thread(target=lambda lines: load.lines.extend(map(json.loads, lines)), args=(process.stdout,))
    reader.start()
    try:
        yield load
    finally:
        process.stdin.close()
        reader.join(timeout=120)
        process.wait(timeout=30)
