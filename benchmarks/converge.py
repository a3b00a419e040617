"""Seconds of a converge that changes nothing, for 1, 3 and 8 Macs, beside ansible-core over the same sshd.

Both run the same number of tasks, each of which looks at a file and finds it as it should be; no Ray is involved.
Run by `make bench-converge`; needs root, brings its own Macs up and down.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TASKS = 60
FLEETS = (1, 3, 8)
RUNS = 3
MACS = {"alpha": 11, "beta": 12, "gamma": 13, "m4": 14, "m5": 15, "m6": 16, "m7": 17, "m8": 18}
SSH = {"ssh_user": "admin", "ssh_key": str(ROOT / ".lab/keys/id_ed25519"), "_sudo": True}

DEPLOY = f"""
from pyinfra.operations import files
for number in range({TASKS}):
    files.file(name=f"Task {{number}}", path="/private/etc/bench", mode="644", user="root", group="wheel")
"""

PLAYBOOK = f"""
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Task
      ansible.builtin.file: {{path: /private/etc/bench, mode: "0644", owner: root, group: wheel, state: file}}
      loop: "{{{{ range({TASKS}) | list }}}}"
"""


def seconds(command: list[str], folder: Path) -> float:
    """Median wall-clock seconds of a command over a few runs."""
    environment = {
        **os.environ,
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "10",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null",
    }
    took = []
    for _ in range(RUNS):
        started = time.monotonic()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        took.append(time.monotonic() - started)
    return statistics.median(took)
