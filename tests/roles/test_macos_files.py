"""files.tree and files.upload."""

from __future__ import annotations

import hashlib
import logging
import subprocess
from pathlib import Path

import pytest
from pyinfra.api.exceptions import OperationValueError
from test_macos_harness import Command, Responses, fact, run

from macos.facts import Digests, Files, FileState
from macos.operations.files import Directory, LocalFile, TextFile, tree, upload
from macos.shell import script_command


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


FILES = [TextFile("/opt/raylab/etc/a.yaml", "one\n"), TextFile("/opt/raylab/etc/b c", "two\n", mode="0640")]
FOLDERS = [Directory("/opt/raylab/etc", group="_raylab", mode="0750")]
AS_WANTED = [
    "drwxr-x--- root _raylab 750 96 /opt/raylab/etc",
    "-rw-r--r-- root wheel 644 4 /opt/raylab/etc/a.yaml",
    "-rw-r----- root wheel 640 4 /opt/raylab/etc/b c",
    f"{sha('one' + chr(10))}  /opt/raylab/etc/a.yaml",
    f"{sha('two' + chr(10))}  /opt/raylab/etc/b c",
]


def run_tree(lines: list[str]) -> list[Command]:
    return run({"stat -f": lines}, tree, directories=FOLDERS, files=FILES)


def test_files_fact_is_one_command_that_tolerates_missing_paths() -> None:
    command = Files().command(paths=["/a", "/b c"])
    assert command.count("stat -f") == 1
    assert command.count("shasum") == 1
    assert command.endswith("; true")
    assert "'/b c'" in command


def test_files_fact_parses_kinds_and_sums() -> None:
    found = fact(Files, "\n".join([*AS_WANTED, "lrwxr-xr-x root wheel 755 3 /x", "junk"]), paths=["/x"])
    assert found["/opt/raylab/etc/b c"] == FileState("file", "root", "wheel", 0o640, 4, sha("two\n"))
    assert found["/opt/raylab/etc"].kind == "directory"
    assert found["/x"].kind == "link"
    assert len(found) == 4


def test_a_tree_that_is_as_wanted_yields_nothing() -> None:
    assert run_tree(AS_WANTED) == []


def test_a_tree_that_is_missing_is_one_command() -> None:
    [command] = run_tree([])
    assert command.text == "sh -s files /opt/raylab/etc /opt/raylab/etc/a.yaml '/opt/raylab/etc/b c'"
    assert command.verbs() == ["directory", "file", "file"]
    assert command.calls()[2] == [
        *("file", "/opt/raylab/etc/b c", "root", "wheel", "0640"),
        "two\n",
    ]


def test_only_what_differs_is_written() -> None:
    [command] = run_tree([*AS_WANTED[:3], f"{sha('hand edit')}  /opt/raylab/etc/a.yaml", AS_WANTED[4]])
    assert [call[:2] for call in command.calls()] == [["file", "/opt/raylab/etc/a.yaml"]]


def test_owner_and_mode_are_repaired_without_writing_the_content() -> None:
    lines = [*AS_WANTED[:2], "-rw-r--r-- admin staff 644 4 /opt/raylab/etc/b c", *AS_WANTED[3:]]
    [command] = run_tree(lines)
    assert command.calls() == [["owned", "/opt/raylab/etc/b c", "root", "wheel", "0640"]]


def test_a_link_in_place_of_a_file_is_replaced() -> None:
    lines = [AS_WANTED[0], "lrwxr-xr-x root wheel 755 4 /opt/raylab/etc/a.yaml", *AS_WANTED[2:]]
    [command] = run_tree(lines)
    assert command.verbs() == ["file"]


def test_a_secret_is_in_no_visible_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="pyinfra")
    secret = TextFile("/opt/raylab/etc/ray-token", "s3cret", group="_raylab", mode="0640", secret=True)
    [command] = run({}, tree, files=[secret])
    assert "s3cret" not in command.text
    assert "s3cret" not in caplog.text
    assert "s3cret" in command.stdin


@pytest.mark.parametrize(
    "bad",
    [
        TextFile("relative", ""),
        TextFile("/a", "", mode="rw"),
        TextFile("/a/", ""),
        TextFile("/a\nb", ""),
        TextFile("/a", "\0"),
    ],
)
def test_bad_input_raises(bad: TextFile) -> None:
    with pytest.raises(OperationValueError):
        run({}, tree, files=[bad])


def test_a_path_given_twice_raises() -> None:
    with pytest.raises(OperationValueError, match="twice: /a"):
        run({}, tree, files=[TextFile("/a", "1"), TextFile("/a", "2")])


# Uploads


@pytest.fixture
def wheels(tmp_path: Path) -> list[LocalFile]:
    for name in ("a.whl", "b.whl"):
        (tmp_path / name).write_text(name)
    return [LocalFile.read(tmp_path / name) for name in ("a.whl", "b.whl")]


def digests(*names: str) -> Responses:
    return {"shasum": [f"{sha(name)}  ./{name}" for name in names]}


def test_only_missing_files_are_uploaded(wheels: list[LocalFile]) -> None:
    commands = run(digests("a.whl"), upload, directory="/opt/w", files=wheels)
    staging = commands[0].text.rsplit(" ", 1)[1]
    assert commands[0].text == f"rm -rf {staging} && mkdir -m 700 {staging}"
    assert commands[1].text == f"upload {wheels[1].source} {staging}/0-0"
    assert commands[2].calls() == [["arrived", f"{staging}/0-0", "b.whl", sha("b.whl")]]
    assert commands[3].text == f"rmdir {staging}"
    assert len(commands) == 4


def test_a_differing_file_is_uploaded_again(wheels: list[LocalFile]) -> None:
    lines = [f"{sha('damaged')}  ./a.whl", f"{sha('b.whl')}  ./b.whl"]
    commands = run({"shasum": lines}, upload, directory="/opt/w", files=wheels)
    assert commands[2].calls()[0][2] == "a.whl"


def test_nothing_is_uploaded_twice(wheels: list[LocalFile]) -> None:
    assert run(digests("a.whl", "b.whl"), upload, directory="/opt/w", files=wheels) == []


@pytest.mark.parametrize("name", ["../up", "/abs", "a/../../b", "new\nline", "back\\slash"])
def test_names_stay_inside_the_directory(wheels: list[LocalFile], name: str) -> None:
    bad = LocalFile(wheels[0].source, wheels[0].sha256, name)
    with pytest.raises(OperationValueError):
        run({}, upload, directory="/opt/w", files=[bad])


def test_a_missing_source_raises_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(OperationValueError, match="is not there"):
        run({}, upload, directory="/opt/w", files=[LocalFile(tmp_path / "gone", sha(""), "gone")])


# The scripts, for real


@pytest.fixture(params=["bash", "dash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return Shell(request.param, tmp_path)


class Shell:
    """Runs scripts under one shell, with the few commands that Linux answers differently replaced."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.command("chown", 'echo "$*" >>"$0.log"')
        # BSD stat's format, by means of GNU stat.
        formats = "-e 's/%Sp/%A/; s/%Su/%U/; s/%Sg/%G/; s/%Lp/%a/; s/%z/%s/; s/%m/%Y/; s/%N/%n/'"
        self.command("stat", f'shift; f=$(echo "$1" | sed {formats}); shift; exec /usr/bin/stat -c "$f" "$@"')

    def command(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, stdin: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [self.name, "-s", "script"],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def script(self, scripts: list[str], calls: list[list[str]], **variables: str) -> tuple[int, str]:
        command = script_command(scripts, calls, [], variables)
        done = self.run(str(command.connector_arguments["_stdin"]))
        return done.returncode, done.stderr


def test_writes_and_replaces_a_file(shell: Shell, tmp_path: Path) -> None:
    target = tmp_path / "deep er" / "file"
    text = "any 'text' $HOME %s \\n ` || exit\n\n\tö\n\n"
    calls = [
        ["directory", str(target.parent), "root", "wheel", "0750"],
        ["file", str(target), "root", "wheel", "0640", text],
    ]
    for _ in range(2):
        assert shell.script(["files"], calls) == (0, "")
    assert target.read_text() == text
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.parent.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_what_is_in_the_way_is_named_and_left_alone(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    code, said = shell.script(["files"], [["directory", str(tmp_path / "link"), "root", "wheel", "0755"]])
    assert (code, "link is in the way" in said) == (1, True)
    code, said = shell.script(["files"], [["file", str(shell.bin), "root", "wheel", "0644", ""]])
    assert (code, "is a directory" in said) == (1, True)


def test_stops_at_the_first_failure_and_leaves_no_part(shell: Shell, tmp_path: Path) -> None:
    shell.command("chown", "exit 1")
    calls = [["file", str(tmp_path / name), "root", "wheel", "0644", "x"] for name in ("a", "b")]
    code, said = shell.script(["files"], calls)
    assert code == 1
    assert said == f"{tmp_path}/a could not be written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_half_a_script_does_nothing(shell: Shell, tmp_path: Path) -> None:
    command = script_command(["files"], [["directory", str(tmp_path / "new"), "root", "wheel", "0755"]], [])
    whole = str(command.connector_arguments["_stdin"])
    shell.run(whole[: whole.index("main </dev/null")])
    assert not (tmp_path / "new").exists()


def arrive(shell: Shell, folder: Path, name: str, sha256: str) -> tuple[int, str]:
    staged = folder / "staged"
    staged.write_text("content")
    variables = {"directory": str(folder), "owner": "root", "group": "wheel", "mode": "0644"}
    calls = [["arrived", str(staged), name, sha256]]
    return shell.script(["files", "upload"], calls, record=".raylab-sha256", **variables)


def run_digests(shell: Shell, folder: Path, *names: str) -> dict[str, str]:
    done = shell.run(Digests().command(directory=str(folder), names=names))
    assert done.returncode == 0
    return Digests().process(done.stdout.splitlines())


def test_arrived_files_are_recorded_and_not_read_again(shell: Shell, tmp_path: Path) -> None:
    assert arrive(shell, tmp_path, "sub dir/a b", sha("content")) == (0, "")
    assert (tmp_path / "sub dir" / "a b").read_text() == "content"
    shell.command("shasum", "echo reads; exit 1")
    assert run_digests(shell, tmp_path, "sub dir/a b", "other") == {"sub dir/a b": sha("content")}


def test_a_file_that_was_touched_is_read_again(shell: Shell, tmp_path: Path) -> None:
    arrive(shell, tmp_path, "a", sha("content"))
    (tmp_path / "a").write_text("damaged content")
    assert run_digests(shell, tmp_path, "a") == {"a": sha("damaged content")}


def test_a_file_without_a_record_is_read(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "-a").write_text("x")
    assert run_digests(shell, tmp_path, "-a", "gone") == {"-a": sha("x")}
    assert run_digests(shell, tmp_path / "no such folder", "a") == {}


def test_a_damaged_arrival_fails_and_replaces_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("good")
    code, said = arrive(shell, tmp_path, "a", sha("other"))
    assert code == 1
    assert f"sha256 {sha('content')} arrived, {sha('other')} is right" in said
    assert (tmp_path / "a").read_text() == "good"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "bin"]
