"""Seconds of a converge that changes nothing, for 1, 3 and 8 Macs, beside ansible-core over the same sshd.

Two measurements for each number of Macs, both without Ray:
- raylab's own roles up to the weights, beside a playbook with as many tasks;
- 60 single file tasks, for pyinfra with raylab's connector and for ansible.
Run by `make bench-converge`. Needs root and a lab that is down; takes it down again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
WORK = ROOT / ".lab" / "bench"
MACS = {"alpha": 11, "beta": 12, "gamma": 13, "m4": 14, "m5": 15, "m6": 16, "m7": 17, "m8": 18}
FLEETS = (1, 3, 8)
TASKS = 60
RUNS = int(os.environ.get("RUNS", "3"))

ROLES = """
from roles import announce, conda, network, weights, wheels
from roles import host as the_mac

announce.plan()
the_mac.settings()
network.resolved_names()
conda.environment()
wheels.installed()
weights.copied()
"""
SINGLE = f"""
from pyinfra.operations import files

for number in range({TASKS}):
    files.file(name=f"Task {{number}}", path="/etc/hosts", user="root", group="wheel", mode="644")
"""
ANSIBLE = {
    "ANSIBLE_PIPELINING": "1",
    "ANSIBLE_FORKS": "10",
    "ANSIBLE_HOST_KEY_CHECKING": "0",
    "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
}


def run(*command: str) -> str:
    """A command in the repository; its output, or an error that shows it."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ANSIBLE}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def seconds(*command: str) -> float:
    """Median wall-clock seconds of a command over RUNS runs."""
    took = []
    for _ in range(RUNS):
        started = time.monotonic()
        run(*command)
        took.append(time.monotonic() - started)
    return statistics.median(took)


def write(name: str, text: str) -> str:
    """A file of this benchmark; its path."""
    path = WORK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def inventories(names: list[str]) -> tuple[str, str]:
    """The same Macs for pyinfra and for ansible."""
    lines = [f'("@mac/{name}", {{"node_ip": "10.77.0.{MACS[name]}"}})' for name in names]
    ours = f"head = [{lines[0]}]\nworkers = [{', '.join(lines[1:])}]\nsimulated = head + workers\n"
    key, known = ROOT / ".lab/keys/id_ed25519", ROOT / ".lab/known_hosts"
    common = (
        f"ansible_user=admin ansible_ssh_private_key_file={key} "
        f"ansible_ssh_common_args='-o UserKnownHostsFile={known}' "
        "ansible_python_interpreter=/usr/local/libexec/simulated-mac/python"
    )
    theirs = "".join(f"{name} ansible_host=10.77.0.{MACS[name]} {common}\n" for name in names)
    # Named lab.py, so that the lab's group data is theirs too.
    return write("lab.py", ours), write("hosts.ini", theirs)


def playbook(tasks: int) -> str:
    """A playbook of that many tasks, each finding a file as it should be."""
    task = {
        "name": "Task",
        "ansible.builtin.file": {
            "path": "/etc/hosts",
            "owner": "root",
            "group": "wheel",
            "mode": "0644",
            "state": "file",
        },
    }
    play = {"hosts": "all", "gather_facts": False, "become": True, "tasks": [task] * tasks}
    return write(f"tasks-{tasks}.json", json.dumps([play]))


def operations(inventory: str, deploy: str) -> int:
    """How many operations a deploy has; raises SystemExit when one of them would change something."""
    plan = json.loads(run(str(BIN / "pyinfra"), "--dry", "--json", inventory, deploy))["plan"]
    if changed := [operation["name"] for operation in plan if operation["hosts_with_change"]]:
        raise SystemExit(f"not converged: {changed}")
    return len(plan)


def compare(count: int, what: str, tasks: int, inventory: str, deploy: str, hosts: str) -> None:
    """Measure both and print one line."""
    ours = seconds(str(BIN / "pyinfra"), "-y", inventory, deploy)
    theirs = seconds(str(BIN / "ansible-playbook"), "-i", hosts, playbook(tasks))
    print(
        f"N = {count}  {what:<22} {tasks:>3} tasks  raylab {ours:6.1f} s  ansible-core {theirs:6.1f} s  "
        f"ratio {ours / theirs:.2f}",
        flush=True,
    )


def main() -> None:
    """Boot eight Macs, converge them once without Ray, then measure."""
    group_data = WORK / "group_data"
    WORK.mkdir(parents=True, exist_ok=True)
    group_data.unlink(missing_ok=True)
    group_data.symlink_to(ROOT / "inventory" / "group_data")
    roles, single = write("roles.py", ROLES), write("single.py", SINGLE)
    run(str(BIN / "lab"), "up", *MACS)
    try:
        run(str(BIN / "pyinfra"), "-y", inventories(list(MACS))[0], roles)
        for count in FLEETS:
            inventory, hosts = inventories(list(MACS)[:count])
            run(str(BIN / "pyinfra"), "-y", inventory, roles)
            compare(count, "raylab's roles", operations(inventory, roles), inventory, roles, hosts)
            compare(count, "single file tasks", TASKS, inventory, single, hosts)
    finally:
        run(str(BIN / "lab"), "down")


if __name__ == "__main__":
    main()
