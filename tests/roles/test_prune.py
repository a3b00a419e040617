"""Pruning: what the roles do with what is there, and the scripts for real."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from bsd_shell import BsdShell
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from test_macos_harness import Command, Responses, make_state, run

from fleet.layout import DEPOT, RELEASES, SERVING, WEIGHTS
from fleet.prune import VERIFIED_MTIME, Folder
from fleet.settings import Fleet
from macos.facts.folders import CodeFolders, DiskUsage, ReleaseFolders, WeightFolders
from roles import prune

A, B = ("a" * 64, "b" * 64)
Said = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """What a person has read so far."""
    caplog.set_level(logging.INFO, logger="pyinfra")
    return lambda: [record.getMessage() for record in caplog.records if "/opt/raylab" in record.getMessage()]


def current(fleet: Fleet) -> str:
    return fleet.release(fleet.head).id


def answers(fleet: Fleet, used: str = "") -> dict[str, list[str]]:
    """Three whole releases and a half-built one."""
    names = [current(fleet), "before", "oldest", "half"]
    lines = [f"{RELEASES}/{name}" for name in names]
    lines += [f"## made {30 - at} {RELEASES}/{name}/complete" for at, name in enumerate(names[:3])]
    lines += [f"## used {RELEASES}/{used}"] if used else []
    there = [f"drwxr-xr-x root wheel 755 96 {RELEASES}/{name}" for name in names]
    sizes = [f"{size}\t{RELEASES}/{name}" for size, name in ((4_000_000, "oldest"), (1_000, "half"))]
    return {"mindepth": lines, "%Sp": there, "du -sk": sizes}


def going(commands: list[Command]) -> list[str]:
    """The folders that a script removes."""
    return [call[1] for command in commands for call in command.calls() if call[0] == "absent"]


def test_left_over_releases_go_and_are_listed_once_with_their_sizes(fleet: Fleet, said: Said) -> None:
    assert going(run(answers(fleet), prune.releases)) == [f"{RELEASES}/half", f"{RELEASES}/oldest"]
    assert [line.split("] ")[1] for line in said()] == [
        f"{RELEASES}/half: 1 MB, removed, as nothing uses it any more",
        f"{RELEASES}/oldest: 4.1 GB, removed, as nothing uses it any more",
    ]


def test_a_release_in_use_stays(fleet: Fleet) -> None:
    assert going(run(answers(fleet, used="oldest"), prune.releases)) == [f"{RELEASES}/half"]


def test_nothing_is_said_or_done_when_no_release_is_left_over(fleet: Fleet, said: Said) -> None:
    lines = [f"{RELEASES}/{current(fleet)}", f"## made 30 {RELEASES}/{current(fleet)}/complete"]
    assert run({"mindepth": lines}, prune.releases) == []
    assert run({"mindepth": []}, prune.releases) == []
    assert said() == []


OLD, BEFORE, USED = "0" * 12, "1" * 12, "2" * 12


def code_answers(fleet: Fleet) -> dict[str, list[str]]:
    """The code of the settings, that before it, and two older ones, of which a job uses one."""
    now = fleet.serving.folder.removeprefix(f"{SERVING}/")
    made = {now: 40, BEFORE: 30, OLD: 20, USED: 10}
    lines = [f"{SERVING}/{name}" for name in made]
    lines += [f"## made {time} {SERVING}/{name}" for name, time in made.items()]
    lines += [f"{SERVING}/{name}/{fleet.serving.file}" for name in made]
    lines += [f"## used {SERVING}/{now}", f"## used {SERVING}/{USED}"]
    there = [f"drwxr-xr-x root wheel 755 96 {SERVING}/{OLD}"]
    return {"mindepth": lines, "%Sp": there, "du -sk": [f"60\t{SERVING}/{OLD}"]}


def test_left_over_code_goes(fleet: Fleet, said: Said) -> None:
    assert going(run(code_answers(fleet), prune.code)) == [f"{SERVING}/{OLD}"]
    [line] = said()
    assert line.endswith(f"{SERVING}/{OLD}: 61 kB, removed, as nothing uses it any more")


def test_nothing_is_said_or_done_when_no_code_is_left_over(fleet: Fleet, said: Said) -> None:
    lines = [fleet.serving.folder, f"## made 5 {fleet.serving.folder}", f"{fleet.serving.folder}/{fleet.serving.file}"]
    assert run({"mindepth": lines}, prune.code) == []
    assert run({"mindepth": []}, prune.code) == []
    assert said() == []


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], str]], None]:
    """What the head is asked for; by default it has no Serve config."""
    answer: list[Callable[[], str]] = [str]
    monkeypatch.setattr(prune, "serve_config", lambda _: answer[0]())
    return lambda given: answer.__setitem__(0, given)


def weight_answers(fleet: Fleet) -> dict[str, list[str]]:
    wanted = fleet.models[0].path
    folders = [wanted.rpartition("/")[0], wanted, f"{WEIGHTS}/old", f"{WEIGHTS}/old/1a"]
    there = [f"drwxr-xr-x root wheel 755 96 {WEIGHTS}/old", f"drwxr-xr-x root wheel 755 96 {WEIGHTS}/old/1a"]
    return {"mindepth": folders, "%Sp": there, "du -sk": [f"8000000\t{WEIGHTS}/old"]}


@pytest.mark.usefixtures("serve")
def test_weights_are_only_told_unless_they_are_to_go(fleet: Fleet, said: Said) -> None:
    assert run(weight_answers(fleet), prune.weights) == []
    [line] = said()
    assert line.endswith(f"{WEIGHTS}/old: 8.2 GB, named by no setting; deploy/cluster.py --data prune=1 removes it")


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--data prune=1`."""

    def with_data(responses: Responses) -> State:
        state = make_state(responses)
        next(iter(state.inventory)).data.prune = 1
        return state

    monkeypatch.setattr("test_macos_harness.make_state", with_data)


@pytest.mark.usefixtures("serve", "asked_for")
def test_weights_go_when_asked_for(fleet: Fleet, said: Said) -> None:
    assert going(run(weight_answers(fleet), prune.weights)) == [f"{WEIGHTS}/old"]
    assert said()[0].endswith("8.2 GB, removed, as no setting names it")


@pytest.mark.usefixtures("asked_for")
def test_weights_that_engines_start_from_stay(fleet: Fleet, serve: Callable[[Callable[[], str]], None]) -> None:
    """The settings name a new revision, and Serve has not been told of it."""
    serve(lambda: f"    model_source: {WEIGHTS}/old/1a\n    port: 1\n")
    assert run(weight_answers(fleet), prune.weights) == []
    serve(lambda: f"    model_source: '{WEIGHTS}/old/2b'\n")
    assert going(run(weight_answers(fleet), prune.weights)) == [f"{WEIGHTS}/old/1a"]


@pytest.mark.usefixtures("asked_for")
def test_no_weights_go_while_the_head_is_away(fleet: Fleet, serve: Callable[[Callable[[], str]], None]) -> None:
    def away() -> str:
        raise PyinfraError("no answer")

    serve(away)
    assert run(weight_answers(fleet), prune.weights) == []


def test_nothing_is_said_when_every_model_is_named(fleet: Fleet, said: Said) -> None:
    wanted = fleet.models[0].path
    assert run({"mindepth": [wanted.rpartition("/")[0], wanted]}, prune.weights) == []
    assert said() == []


def test_unused_objects_go_with_their_bytes_told(said: Said) -> None:
    lines = [
        f"6000000 {VERIFIED_MTIME} 1 11 {DEPOT}/{A}",
        f"5 {VERIFIED_MTIME} 2 12 {DEPOT}/{B}",
        f"1000000 5 1 13 {DEPOT}/{B}.partial",
    ]
    [command] = run({"stat -f": lines}, prune.objects, wanted=[])
    assert command.calls() == [["unlinked", DEPOT, A, f"{B}.partial"]]
    assert said()[0].endswith(f"2 files of {DEPOT}: 7 MB, removed, as nothing uses them any more")
    assert run({"stat -f": lines}, prune.objects, wanted=[A, B]) == []
    assert len(said()) == 1


# For real


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    return BsdShell(request.param, tmp_path, ("stat",))


def release(mac: BsdShell, name: str, completed: int | None) -> Path:
    folder = mac.prefix / "releases" / name
    (folder / "env/bin").mkdir(parents=True)
    if completed is not None:
        (folder / "complete").touch()
        os.utime(folder / "complete", (completed, completed))
    return folder


def test_release_folders_are_told_with_their_times_and_who_uses_them(mac: BsdShell) -> None:
    assert mac.fact(ReleaseFolders) == []
    for name, completed in (("aaa", 100), ("bbb", 200), ("ccc", None), ("ddd", 300), (".removed-x", 5)):
        release(mac, name, completed)
    (mac.prefix / "releases/.metadata_never_index").touch()
    plists = mac.prefix / "plists"
    plists.mkdir()
    program = f"<string>{mac.prefix}/releases/ccc/env/bin/python</string>"
    (plists / "io.raylab.ray.plist").write_text(f"<plist>{program}</plist>\n")
    mac.command("ps", f'[ "$*" = "-axww -o command=" ] && echo "{mac.prefix}/releases/ddd/env/bin/raylet --x"')
    # Where launchd's plists are is not below /opt/raylab.
    mac.command("cat", f"exec /bin/cat {plists}/io.raylab.*.plist")
    found = sorted(mac.fact(ReleaseFolders), key=lambda folder: folder.name)
    assert found == [
        Folder(".removed-x", 5, in_use=False),
        Folder("aaa", 100, in_use=False),
        Folder("bbb", 200, in_use=False),
        Folder("ccc", None, in_use=True),
        Folder("ddd", 300, in_use=True),
    ]


def test_the_look_itself_counts_as_no_use(mac: BsdShell) -> None:
    release(mac, "aaa", 100)
    assert mac.fact(ReleaseFolders) == [Folder("aaa", 100, in_use=False)]


def test_code_folders_are_told_with_their_times_and_who_uses_them(mac: BsdShell) -> None:
    assert mac.fact(CodeFolders) == []
    names = {"a" * 12: 100, "b" * 12: 200, "c" * 12: 300, "d" * 12: 400, "f" * 12: 500}
    for name, time in names.items():
        folder = mac.prefix / "serving" / name
        folder.mkdir(parents=True)
        (folder / "raylab_serving-0.1.0-py3-none-any.whl").touch()
        os.utime(folder, (time, time))
    (mac.prefix / "serving" / "somebody's").mkdir()
    left = f".removed-{'e' * 12}"
    (mac.prefix / "serving" / left).mkdir()
    os.utime(mac.prefix / "serving" / left, (5, 5))
    (mac.prefix / "etc").mkdir()
    wheel = "raylab_serving-0.1.0-py3-none-any.whl"
    (mac.prefix / "etc/serve.yaml").write_text(f"PYTHONPATH: {mac.prefix}/serving/{'b' * 12}/{wheel}:/x\n")
    plist = mac.prefix / "io.raylab.ray.plist"
    plist.write_text(f"<string>{mac.prefix}/serving/{'c' * 12}/{wheel}</string>\n")
    kept = Path(f"{mac.prefix}/state/previous{mac.prefix}/etc")
    kept.mkdir(parents=True)
    (kept / "serve.yaml").write_text(f"PYTHONPATH: {mac.prefix}/serving/{'f' * 12}/{wheel}:/x\n")
    mac.command("ps", f'[ "$*" = "-axww -o command=" ] && echo "python {mac.prefix}/serving/{"d" * 12}/{wheel}"')
    # Where launchd's plists are is not below /opt/raylab.
    mac.command("cat", f'case "$1" in *.plist) exec /bin/cat {plist} ;; esac; exec /bin/cat "$@"')
    assert sorted(mac.fact(CodeFolders), key=lambda folder: folder.name) == [
        Folder(left, None, in_use=False),
        Folder("a" * 12, 100, in_use=False, package="raylab_serving"),
        Folder("b" * 12, 200, in_use=True, package="raylab_serving"),
        Folder("c" * 12, 300, in_use=True, package="raylab_serving"),
        Folder("d" * 12, 400, in_use=True, package="raylab_serving"),
        Folder("f" * 12, 500, in_use=True, package="raylab_serving"),
    ]


def test_weight_folders_and_sizes(mac: BsdShell) -> None:
    assert mac.fact(WeightFolders) == []
    folder = mac.prefix / "weights/tiny/1a/sub"
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"x" * 100_000)
    assert mac.fact(WeightFolders) == [f"{WEIGHTS}/tiny", f"{WEIGHTS}/tiny/1a"]
    sizes = mac.fact(DiskUsage, paths=[f"{WEIGHTS}/tiny", f"{WEIGHTS}/gone"])
    assert list(sizes) == [f"{WEIGHTS}/tiny"]
    assert 100_000 <= sizes[f"{WEIGHTS}/tiny"] < 200_000


def test_a_folder_is_removed_with_what_an_earlier_try_left(mac: BsdShell) -> None:
    release(mac, "old one", 100)
    release(mac, ".removed-old one", 100)
    release(mac, "new", 100)
    calls = [["absent", f"{RELEASES}/old one"], ["absent", f"{RELEASES}/.removed-gone"]]
    assert mac.script(["files", "prune"], calls) == (0, "")
    assert [path.name for path in (mac.prefix / "releases").iterdir()] == ["new"]


def test_a_removal_that_is_cut_off_leaves_nothing_that_looks_whole(mac: BsdShell) -> None:
    release(mac, "old", 100)
    mac.command("rm", '[ -e "$2/complete" ] && exit 1; exec /bin/rm "$@"')
    status, said = mac.script(["files", "prune"], [["absent", f"{RELEASES}/old"]])
    assert (status, said) == (1, f"{RELEASES}/old could not be removed\n")
    assert [path.name for path in (mac.prefix / "releases").iterdir()] == [".removed-old"]


def test_objects_are_removed_by_the_thousand(mac: BsdShell) -> None:
    depot = mac.prefix / "depot"
    depot.mkdir()
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(3000)]
    for name in (*names, A, f"{B}.partial"):
        (depot / name).touch(mode=0o444)
    assert mac.script(["files", "prune"], [["unlinked", DEPOT, *names, f"{B}.partial"]]) == (0, "")
    assert [path.name for path in depot.iterdir()] == [A]
