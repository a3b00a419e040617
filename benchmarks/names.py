"""Seconds of an engine's start with the hosts file that raylab writes, beside the same without it.

Run by `make bench-names`, with the lab up and converged; repairs the hosts file at the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

from harness import healthy, kill_and_wait, on, pyinfra, served, wait_for

MAC = "gamma"
ENGINE = "VLLM::EngineCore"


def main() -> None:
    """End one engine twice, and wait each time until it is served again."""
    wait_for("a healthy fleet", healthy, seconds=300)
    present = kill_and_wait(MAC, ENGINE, served)
    on(MAC, 'sed -i "" "/raylab begin/,/raylab end/d" /etc/hosts')
    try:
        absent = kill_and_wait(MAC, ENGINE, served, seconds=900)
    finally:
        pyinfra("--limit", MAC, "deploy/cluster.py")
    print(f"engine start: hosts file present {present:.0f} s, removed {absent:.0f} s, ratio {absent / present:.2f}")


if __name__ == "__main__":
    main()
