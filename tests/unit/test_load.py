"""The load of the lab tests, against small servers that are killed meanwhile, and what is made of its records."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests" / "roles")]

import chat_server
from free_ports import free_port

from benchmarks.day_two import __main__ as program
from benchmarks.day_two.load import Load, load
from benchmarks.day_two.plot import drawn
from benchmarks.day_two.summary import Mark, percentile, summary, table
from depot.certificates import certificate_pair

SERVER = Path(chat_server.__file__)


@contextmanager
def serving(port: int, *certificate: str, pause: float = 0.02) -> Iterator[subprocess.Popen[str]]:
    """A server that listens; killed at the end."""
    command = [sys.executable, str(SERVER), str(port), str(pause), *certificate]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], object]) -> None:
    """Wait for it, at most 20 seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{port}/v1"


def of(seen: Load, kind: str, outcome: str) -> list[dict[str, Any]]:
    return [record for record in list(seen.records) if (record["kind"], record["outcome"]) == (kind, outcome)]


def test_a_client_that_asks_once_more_does_not_notice_a_dead_door_and_the_other_does() -> None:
    dies, stays = free_port(), free_port()
    arguments = ["tiny", "20", url(dies), "--pair", url(dies), url(stays), "--long", url(dies), "--long-tokens", "9999"]
    with serving(stays), serving(dies) as server, load(arguments, where=()) as seen:
        until(lambda: len(of(seen, "pair", "ok")) > 8 and len(of(seen, "single", "ok")) > 8)
        seen.mark("dead")
        server.kill()
        server.wait()
        until(lambda: len([r for r in of(seen, "pair", "ok") if r["before"]]) > 8)
        until(lambda: of(seen, "long", "cut") and of(seen, "long", "failed"))
        until(lambda: [r for r in of(seen, "single", "failed") if "ConnectError" in r["error"]])
        seen.mark("alive")
        with serving(dies):
            until(lambda: [r for r in of(seen, "single", "ok") if r["at"] > seen.marks[1].at])
    assert {record["url"] for record in of(seen, "pair", "ok")} == {url(dies), url(stays)}
    # A stream that had begun when its door died cannot be asked for again.
    assert of(seen, "pair", "failed") == []
    assert all(record["before"] == [] for record in of(seen, "single", "failed"))
    cut, *_ = of(seen, "long", "cut")
    assert cut["tokens"] > 0
    assert cut["first"] is not None
    assert {record["streamed"] for record in of(seen, "single", "ok")} == {True, False}
    assert all(record["tokens"] == 4 for record in of(seen, "pair", "ok"))

    found = summary(seen.records, seen.marks)
    before, dead, alive = found["phases"]
    assert [phase["name"] for phase in found["phases"]] == ["before", "dead", "alive"]
    assert dead["kinds"]["pair"]["retried"] > 2
    # One that was under way when the door died began before that.
    under_way = [r for r in of(seen, "pair", "ok") if r["before"] and r["at"] < seen.marks[0].at]
    assert all(r["at"] + r["seconds"] >= seen.marks[0].at for r in under_way)
    assert before["kinds"]["pair"]["retried"] == len(under_way)
    assert dead["kinds"]["single"]["failed"] > 0
    assert alive["kinds"]["pair"]["failed"] == 0
    assert sum(phase["kinds"].get("single", {"requests": 0})["requests"] for phase in found["phases"]) == len(
        [record for record in seen.records if record["kind"] == "single"]
    )


def test_the_rate_is_kept_while_answers_take_long_and_a_stream_at_the_end_is_open() -> None:
    port = free_port()
    # A streamed answer takes two seconds here: many are under way at once.
    with serving(port, pause=0.5), load(["tiny", "10", url(port), "--long", url(port)], where=()) as seen:
        until(lambda: len(seen.records) >= 50)
    times = sorted(record["at"] for record in seen.records if record["kind"] == "single")
    # On a busy machine single requests are late, and the next ones are not.
    assert (len(times) - 1) / (times[-1] - times[0]) == pytest.approx(10, rel=0.2)
    assert [record["outcome"] for record in seen.records if record["kind"] == "long"] == ["open"]
    assert {record["outcome"] for record in seen.records if record["kind"] == "single"} == {"ok"}


def test_with_tls_and_a_key(tmp_path: Path) -> None:
    port, pair = free_port(), certificate_pair("door", ["127.0.0.1"])
    files = {"ca": pair.ca, "cert": pair.cert, "serverkey": pair.key, "key": f"{chat_server.KEY}\n", "wrong": "x\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with serving(port, str(tmp_path / "cert"), str(tmp_path / "serverkey")):
        for key, outcome in (("key", "ok"), ("wrong", "failed")):
            paths = ["--ca", str(tmp_path / "ca"), "--key", str(tmp_path / key)]
            with load(["tiny", "20", url(port, "https"), *paths], where=()) as seen:
                until(lambda seen=seen: len(seen.records) > 3)
            assert {record["outcome"] for record in seen.records} == {outcome}
        assert all("401" in record["error"] for record in seen.records)
        with load(["tiny", "20", url(port, "https")], where=()) as seen:
            until(lambda: seen.records)
        assert "CERTIFICATE_VERIFY_FAILED" in seen.records[0]["error"]


def test_the_benchmark_tells_what_was_seen_while_a_command_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, to = free_port(), tmp_path / "day_two.json"
    # The command's own turns are phases of the picture.
    command = [sys.executable, "-c", "import time; print('Turn of beta', flush=True); time.sleep(1)"]
    arguments = ["--here", "--rate", "20", "--single", url(port), "--quiet", "0.5", "--phase", r"Turn of (\w+)"]
    with serving(port):
        status = program.main([*arguments, "--to", str(to), "--", *command])
    found = json.loads(to.read_text())
    assert (status, found["summary"]["errors"]) == (0, {})
    assert [phase["name"] for phase in found["summary"]["phases"]] == ["before", "command", "beta", "after"]
    assert "beta" in capsys.readouterr().out
    assert ET.fromstring(to.with_suffix(".svg").read_text()).tag.endswith("svg")
    # Nobody listens now.
    assert program.main([*arguments, "--", sys.executable, "-c", "pass"]) == program.REQUESTS_FAILED
    assert program.main([*arguments, "--", sys.executable, "-c", "raise SystemExit(7)"]) == 7


def record(at: float, seconds: float, outcome: str = "ok", kind: str = "pair") -> dict[str, Any]:
    error = "" if outcome == "ok" else "gone & <away>"
    return {"at": at, "seconds": seconds, "outcome": outcome, "kind": kind, "url": "u", "first": seconds / 2,
            "error": error, "before": []}  # fmt: skip


def test_a_request_belongs_to_the_phase_in_which_it_began() -> None:
    records = [record(10, 1), record(19.9, 30), record(20, 2), record(25, 3, "failed")]
    found = summary(records, [Mark(20, "beta")])
    assert [(phase["name"], phase["seconds"]) for phase in found["phases"]] == [("before", 10.0), ("beta", 29.9)]
    assert found["phases"][0]["kinds"]["pair"]["p99"] == 30
    assert found["phases"][1]["kinds"]["pair"] == {
        "requests": 2, "failed": 1, "cut": 0, "open": 0, "retried": 0,
        "p50": 2, "p99": 2, "first_p50": 1.0, "first_p99": 1.0,
    }  # fmt: skip
    assert table(found)[-1] == "1 × gone & <away>"
    assert summary([], []) == {"kinds": {}, "phases": [], "errors": {}}


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, value: int) -> None:
    assert percentile(list(range(1, 101)), percent) == value
    assert percentile([], percent) is None


def test_the_picture_has_a_mark_for_each_failure_and_draws_points_on_one_another_once() -> None:
    records = [record(at % 50, 0.1) for at in range(500)] + [record(30, 2, "cut"), record(31, 9, "cut", "long")]
    rows = [[each[name] for name in program.FIELDS] for each in records]
    picture = drawn(
        {"title": "A <title>", "about": "", "marks": [{"at": 20, "name": "b & c"}], "fields": program.FIELDS,
         "requests": rows}
    )  # fmt: skip
    assert ET.fromstring(picture).attrib["width"] == "760"
    assert picture.count("#c0182b") >= 2
    assert picture.count("h0") == 50
    assert "b &amp; c" in picture
