"""With the hosts file that raylab writes, an engine's start spends no time on name look-ups."""

from __future__ import annotations

import pytest
from harness import kill_and_wait, on, pyinfra, served

ENGINE = "VLLM::EngineCore"


def test_name_lookups_do_not_slow_the_engine(well: str, capsys: pytest.CaptureFixture[str]) -> None:
    present = kill_and_wait("gamma", ENGINE, served)
    on("gamma", 'sed -i "" "/raylab begin/,/raylab end/d" /etc/hosts')
    try:
        absent = kill_and_wait("gamma", ENGINE, served, seconds=900)
    finally:
        pyinfra("--limit", "gamma", "deploy/cluster.py")
    with capsys.disabled():
        print(f"\n  engine start: hosts file present {present:.0f} s, removed {absent:.0f} s")
    assert present < absent
