"""The logs of jobs, which launchd only adds to."""

from __future__ import annotations

import subprocess
from pathlib import Path

TRIM = Path(__file__).resolve().parents[2] / "templates/libexec/raylab-trim"
LARGE = 11 * 2**20


def trim(folder: Path) -> None:
    subprocess.run([TRIM, folder], check=True, stderr=subprocess.DEVNULL)


def test_a_large_log_is_emptied_while_its_job_writes_on_and_is_kept_once(tmp_path: Path) -> None:
    log, kept = tmp_path / "ray.log", tmp_path / "ray.log.0"
    with log.open("a") as job:
        for letter in "ab":
            job.write(letter * LARGE)
            job.flush()
            trim(tmp_path)
            assert log.read_text() == ""
            assert kept.read_text() == letter * LARGE
        job.write("the next line\n")
    assert log.read_text() == "the next line\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ray.log", "ray.log.0"]


def test_small_ones_and_that_of_requests_stay(tmp_path: Path) -> None:
    (tmp_path / "serve.log").write_text("a line\n")
    (tmp_path / "access.log").write_bytes(bytes(LARGE))
    trim(tmp_path)
    assert sorted((path.name, path.stat().st_size) for path in tmp_path.iterdir()) == [
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
