"""Objects, exclusions, pruning and signatures with the commands that a Mac has, and without those it lacks."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

from fleet.layout import DEPOT, RELEASES, WEIGHTS
from fleet.prune import VERIFIED_MTIME, Folder
from macos.facts.contents import Manifests, Sums
from macos.facts.exclusions import MARKER, Excluded, Exclusions
from macos.facts.folders import DiskUsage, ReleaseFolders, WeightFolders
from macos.facts.objects import Objects, Views
from macos.shell import script_command
from macos.signatures import signature_check

from .conftest import World

SHA256 = hashlib.sha256(b"content").hexdigest()
FOLDER = f"{WEIGHTS}/tiny/1a"
# As an agent leaves it; the time is that of VERIFIED_MTIME.
SETUP = f"""
    mkdir -p {DEPOT} {RELEASES}/new/env {RELEASES}/half
    touch {RELEASES}/new/complete
    printf content >{DEPOT}/{SHA256}
    TZ=UTC touch -t 200101010000.00 {DEPOT}/{SHA256}
    chmod 0444 {DEPOT}/{SHA256}
    echo '<string>{RELEASES}/half/env/bin/python</string>' >/Library/LaunchDaemons/io.raylab.x.plist
"""


def root(macs: World, script: str) -> str:
    """Run a script as root, which must succeed without a complaint; its output."""
    ran = macs.mac("m5", f"sudo sh -c {shlex.quote(script)}")
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def ask(macs: World, kind: type[Any], **arguments: object) -> Any:  # noqa: ANN401 (each its own)
    """A fact of the Mac."""
    fact = kind()
    output = root(macs, fact.command(**arguments)).splitlines()
    return fact.process(output) if output else fact.default()


def do(macs: World, scripts: list[str], calls: list[list[str]], **variables: str | int) -> None:
    """A script of macos/scripts, which must succeed without a word."""
    text = str(script_command(scripts, calls, [], variables).connector_arguments["_stdin"])
    ran = macs.lab("ssh", "m5", "sudo", "sh", "-s", stdin=text)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_from_an_object_to_its_end(macs: World) -> None:
    assert ask(macs, Objects) == {}
    root(macs, SETUP)
    assert ask(macs, Objects) == {SHA256: 7}

    files = {"sub/x": SHA256}
    calls = [["look"], ["linked", "sub/x", SHA256], ["unmarked", "com.apple.quarantine"]]
    do(macs, ["files", "objects"], calls, depot=DEPOT, directory=FOLDER, verified=VERIFIED_MTIME)
    assert ask(macs, Views, directory=FOLDER, files=files) == {"sub/x"}
    root(macs, f"xattr -w com.apple.quarantine x {FOLDER}/sub/x")
    assert ask(macs, Views, directory=FOLDER, files=files) == set()
    do(macs, ["files", "objects"], calls, depot=DEPOT, directory=FOLDER, verified=VERIFIED_MTIME)
    assert ask(macs, Views, directory=FOLDER, files=files) == {"sub/x"}
    assert ask(macs, Sums, directories=[FOLDER]) == {f"{FOLDER}/sub/x": SHA256}
    assert ask(macs, Manifests, folders=[FOLDER]) == {}

    folders = {folder.name: folder for folder in ask(macs, ReleaseFolders)}
    assert (folders["new"].made is not None, folders["new"].in_use) == (True, False)
    assert folders["half"] == Folder("half", None, in_use=True)
    assert ask(macs, WeightFolders) == [f"{WEIGHTS}/tiny", FOLDER]
    assert ask(macs, DiskUsage, paths=[FOLDER])[FOLDER] > 0
    do(macs, ["files", "prune"], [["absent", f"{WEIGHTS}/tiny"], ["absent", f"{RELEASES}/half"]])
    do(macs, ["files", "prune"], [["unlinked", DEPOT, SHA256]])
    assert ask(macs, WeightFolders) == []
    assert {folder.name for folder in ask(macs, ReleaseFolders)} == folders.keys() - {"half"}
    assert ask(macs, Objects) == {}


def test_a_running_program_keeps_its_release(macs: World) -> None:
    program = f"{RELEASES}/running/env/bin/raylet"
    root(macs, f"mkdir -p {RELEASES}/running/env/bin && cp /bin/sleep {program}")
    root(macs, f"nohup {program} 60 >/dev/null 2>&1 </dev/null & echo $! >/tmp/running.pid")
    assert Folder("running", None, in_use=True) in ask(macs, ReleaseFolders)
    root(macs, "kill $(cat /tmp/running.pid); while kill -0 $(cat /tmp/running.pid) 2>/dev/null; do sleep 0.1; done")
    assert Folder("running", None, in_use=False) in ask(macs, ReleaseFolders)


def test_folders_are_excluded(macs: World) -> None:
    folder = "/opt/raylab/excluded here"
    root(macs, f"mkdir -p '{folder}'")
    assert ask(macs, Exclusions, directories=[folder]) == Excluded()
    do(macs, ["files", "exclusions"], [["excluded", folder], ["unindexed", folder, MARKER]])
    assert ask(macs, Exclusions, directories=[folder]) == Excluded(frozenset({folder}), frozenset({folder}))


def test_a_signature_that_is_not_right_any_more(macs: World) -> None:
    env = f"{RELEASES}/signed/env"
    ray = f"{env}/lib/python3.12/site-packages/ray/core/src/ray"
    programs = (f"{env}/bin/python", f"{ray}/raylet/raylet", f"{ray}/gcs/gcs_server")
    for program in programs:
        root(macs, f"mkdir -p {program.rpartition('/')[0]} && echo x >{program} && codesign -s - {program}")
    check = f"sudo sh -c {shlex.quote(signature_check(env))}"
    good = macs.mac("m5", check)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    root(macs, f"echo changed >{programs[1]}")
    bad = macs.mac("m5", check)
    assert bad.returncode == 1
    assert f"{programs[1]}: invalid signature" in bad.stderr
