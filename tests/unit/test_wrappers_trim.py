"""The logs of jobs, which launchd only adds to, and those of Ray's processes, which Ray keeps for ever."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

LIBEXEC = Path(__file__).resolve().parents[2] / "templates/libexec"
LARGE = 11 * 2**20
KEPT = 10 * 2**20


def trim(folder: Path) -> None:
    subprocess.run([LIBEXEC / "raylab-trim", folder], check=True, stderr=subprocess.DEVNULL)


def test_a_large_log_is_emptied_while_its_job_writes_on_and_is_kept_once(tmp_path: Path) -> None:
    log, kept = tmp_path / "ray.log", tmp_path / "ray.log.0"
    with log.open("a") as job:
        for letter in "ab":
            job.write(letter * LARGE)
            job.flush()
            trim(tmp_path)
            assert log.read_text() == ""
            assert kept.read_text() == letter * KEPT
        job.write("the next line\n")
    assert log.read_text() == "the next line\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ray.log", "ray.log.0"]


def test_small_ones_and_that_of_requests_stay(tmp_path: Path) -> None:
    (tmp_path / "serve.log").write_text("a line\n")
    (tmp_path / "access-2026-11-22T10-00-00.000-size.log").write_bytes(bytes(LARGE))
    (tmp_path / "access.log").write_bytes(bytes(LARGE))
    trim(tmp_path)
    assert sorted((path.name, path.stat().st_size) for path in tmp_path.iterdir()) == [
        ("access-2026-11-22T10-00-00.000-size.log", LARGE),
        ("access.log", LARGE),
        ("serve.log", 7),
    ]


def test_on_a_full_disk_it_is_emptied_all_the_same(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], check=True)
    try:
        log = tmp_path / "store.log"
        log.write_bytes(bytes(LARGE))
        trim(tmp_path)
        assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("store.log", 0)]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_old_logs_of_ray_go_when_its_node_starts(tmp_path: Path) -> None:
    python = tmp_path / "release/env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/echo")
    logs = tmp_path / "ray/session_2026-11-01_10-00-00_000000_99/logs"
    (logs / "serve").mkdir(parents=True)
    (tmp_path / "ray/session_latest").symlink_to(logs.parent)
    old, new = logs / "serve/replica_one.log", logs / "worker-two.err"
    for path, days in ((old, 15), (new, 13), (logs.parent / "sockets", 15)):
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    environment = {**os.environ, "RAYLAB_RELEASE": f"{tmp_path}/release", "RAYLAB_RAY_TEMP": f"{tmp_path}/ray"}
    command = [LIBEXEC / "raylab-ray", "--head"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == f"-I {LIBEXEC}/raylab_ray.py --head\n"
    assert not old.exists()
    assert new.exists()
    assert (logs.parent / "sockets").exists()
