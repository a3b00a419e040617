"""A Mac's turn: what the facts read, and what its script does to the disk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bsd_shell import PREFIX, BsdShell
from test_macos_harness import fact
from test_macos_launchd import LABEL, PRINTED

from fleet.layout import DRAINING, LIBEXEC, NEXT_SERVE_CONFIG, PLISTS, PREVIOUS, SERVE_CONFIG, STATE, UPGRADE
from fleet.rollback import Turned
from macos.facts.running import Generations, Kept, Ongoing, Running, ServeConfig, Starts, Tried, Turns

STORE = "io.raylab.store"
MANIFEST = {"id": "abc", "files": [{"name": "ray-2.59.0-cp311-none-any.whl"}]}
PLIST_LINES = """\
	<key>RAYLAB_DIGEST</key>
	<string>new</string>
--
	<key>RAYLAB_RELEASE</key>
	<string>/opt/raylab/releases/abc</string>
"""


def printed(digest: str = "old") -> str:
    text = re.sub(r"(?m)^\t\tRAYLAB_DIGEST => (?!inherited).*$", f"\t\tRAYLAB_DIGEST => {digest}", PRINTED)
    return text.replace("OPTIONS => a => b = c", "RAYLAB_RELEASE => /opt/raylab/releases/abc")


def sections(print_ray: str) -> str:
    manifest = json.dumps(MANIFEST, indent=1)
    other = "## /opt/raylab/releases/old/manifest.json\n{}\n"
    return (
        f"## {STORE}\n## plist {STORE}\n## {LABEL}\n{print_ray}## plist {LABEL}\n{PLIST_LINES}"
        f"{other}## /opt/raylab/releases/abc/manifest.json\n{manifest}\n"
    )


def test_what_runs_is_what_launchd_has_loaded_not_what_its_plist_says() -> None:
    found = fact(Running, sections(printed()), labels=[STORE, LABEL])
    assert found.digests == {LABEL: "old"}
    assert found.release == "/opt/raylab/releases/abc"
    assert found.files == ("ray-2.59.0-cp311-none-any.whl",)


def test_a_launchd_that_prints_no_environment_leaves_the_plist_as_witness() -> None:
    bare = "system/io.raylab.ray = {\n\tstate = running\n\tpath = /Library/LaunchDaemons/io.raylab.ray.plist\n}\n"
    assert fact(Running, sections(bare), labels=[STORE, LABEL]).digests == {LABEL: "new"}


def test_a_mac_without_the_job_runs_nothing() -> None:
    found = fact(Running, f"## {LABEL}\n## plist {LABEL}\n{PLIST_LINES}", labels=[LABEL])
    assert (found.digests, found.release, found.files) == ({}, "", ())


def test_a_job_that_was_stopped_runs_nothing_and_tells_what_its_cluster_was_made_with() -> None:
    found = fact(Running, sections(""), labels=[STORE, LABEL])
    assert (found.digests, found.release) == ({}, "")
    assert found.files == ("ray-2.59.0-cp311-none-any.whl",)


def test_what_is_kept_is_told_by_its_digest() -> None:
    assert fact(Kept, "\t<key>RAYLAB_DIGEST</key>\n\t<string>abc</string>", path="/p") == "abc"


@pytest.fixture
def with_ray(shell: BsdShell) -> BsdShell:
    """Ray was started with a port that the settings may not name any more."""
    shell.command("launchctl", r"[ $2 = system/io.raylab.ray ] && printf '\t\t--metrics-export-port=6399\n'")
    return shell


def test_requests_that_go_on_are_those_of_the_proxy_and_of_replicas(with_ray: BsdShell) -> None:
    with_ray.command(
        "curl",
        "case \"$*\" in *' http://10.0.0.1:6399/metrics') ;; *) exit 7 ;; esac; cat <<'E'\n"
        "# HELP ray_serve_num_ongoing_http_requests x\n"
        'ray_serve_num_ongoing_http_requests{node_id="a"} 2.0\n'
        'ray_serve_replica_processing_queries{application="m"} 1.0\n'
        'ray_serve_replica_processing_queries_other{application="m"} 9.0\n'
        "E",
    )
    assert with_ray.fact(Ongoing, address="10.0.0.1") == 3
    assert with_ray.fact(Ongoing, address="10.0.0.1", application="m") == 1
    assert with_ray.fact(Ongoing, address="10.0.0.1", application="n") == 0


def test_where_nobody_listens_nothing_goes_on(with_ray: BsdShell) -> None:
    with_ray.command("curl", "exit 7")
    assert with_ray.fact(Ongoing, address="10.0.0.1") == 0


def test_without_ray_nothing_goes_on(shell: BsdShell) -> None:
    shell.command("launchctl", "exit 113")
    shell.command("curl", "exit 28")
    assert shell.fact(Ongoing, address="10.0.0.1") == 0


@pytest.mark.parametrize("status", [22, 28])
def test_where_ray_does_not_tell_nobody_knows(with_ray: BsdShell, status: int) -> None:
    with_ray.command("curl", f"exit {status}")
    assert with_ray.fact(Ongoing, address="10.0.0.1") is None


@pytest.mark.parametrize(
    ("jobs", "found"),
    [
        ({"ray": "6379"}, "now"),
        ({"ray": "6379", "next-ray": "7379"}, "now"),
        ({"ray": "7379", "next-ray": "6379"}, "coming"),
        # A head of before, which is a worker now; and one that never was any.
        ({}, ""),
        ({"ray": "7379"}, ""),
    ],
)
def test_the_serve_config_is_that_of_the_cluster_that_is_asked_for(
    shell: BsdShell, tmp_path: Path, jobs: dict[str, str], found: str
) -> None:
    for name in ("ray", "next-ray"):
        ports = f"<string>--port={jobs[name]}</string>" if name in jobs else "<string>--address=10.0.0.1:6379</string>"
        (tmp_path / f"io.raylab.{name}.plist").write_text(f"<array>\n{ports}\n</array>\n")
    files = {SERVE_CONFIG: "now", NEXT_SERVE_CONFIG: "coming", f"{PREVIOUS}{SERVE_CONFIG}": "kept"}
    for path, text in files.items():
        place = Path(path.replace(PREFIX, str(shell.prefix)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")
    command = ServeConfig().command(port=6379).replace(PLISTS, str(tmp_path))
    assert shell.run(command).stdout.strip() == found
    assert shell.fact(ServeConfig, port=6379, kept=True) == "kept"


def test_how_long_engines_took_to_start_is_told_by_the_mac_with_the_controller(shell: BsdShell) -> None:
    labels = 'NodeAddress="10.0.0.1",application="model:tiny",deployment="MlxServer:tiny"'
    name = "ray_serve_replica_startup_latency_ms"
    lines = [f'{name}_bucket{{{labels},le="9"}} 1.0', f"{name}_count{{{labels}}} 2.0", f"{name}_sum{{{labels}}} 9000.0"]
    shell.command("curl", "cat <<'E'\n" + "\n".join(lines) + "\nE")
    assert shell.fact(Starts, url="http://10.0.0.1:1/metrics") == {"model:tiny": 4.5}
    shell.command("curl", "exit 7")
    assert shell.fact(Starts, url="http://10.0.0.1:1/metrics") == {}


def answers(shell: BsdShell, body: str, status: str = "200 0.5") -> Tried:
    shell.command("curl", f"printf '%s\\n%s\\n' '{body}' '{status}'")
    found: dict[str, Tried] = shell.fact(Generations, url="http://10.0.0.1:1/v1", models=["a/b"])
    return found["a/b"]


def test_a_model_that_answers_has_its_seconds(shell: BsdShell) -> None:
    assert answers(shell, '{"usage": {"completion_tokens": 8}}') == Tried(0.5)


def test_what_curl_tried_again_does_not_count(shell: BsdShell) -> None:
    assert answers(shell, '{"error": "loading"}\n{"usage": {"completion_tokens": 8}}') == Tried(0.5)


def test_only_the_models_of_this_mac_are_asked_of_nobody_else_and_what_fails_is_asked_once(shell: BsdShell) -> None:
    log = shell.prefix / "asked"
    says = """printf '%s\\n' '{"error": "no"}' '500 0.1'; exit 22"""
    shell.command("curl", f"printf '%s\\n' \"$*\" >> {log}; {says}")
    found = shell.fact(Generations, url="http://10.0.0.1:1/v1", models=["own", "other"], here=["own"])
    assert {model: tried.error[:8] for model, tried in found.items()} == {"own": "HTTP 500", "other": "HTTP 500"}
    own, other = log.read_text().splitlines()
    assert "-H X-Raylab-Here: 1" in own
    assert "X-Raylab-Here" not in other


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ('{"usage": {"completion_tokens": 0}}', "200 0.5", "HTTP 200"),
        ('{"error": "no"}', "503 0.1", "HTTP 503: {"),
        ("", "000 2.0", "000"),
    ],
)
def test_one_that_does_not_has_the_answer_as_its_error(shell: BsdShell, body: str, status: str, error: str) -> None:
    assert error in answers(shell, body, status).error


def turn(shell: BsdShell, verb: str, digest: str = "", number: int = 1) -> tuple[int, str]:
    copied = f"{LIBEXEC}\n{STATE}/daemon.plist\n{UPGRADE}\n{STATE}/of-another-mac"
    plist = f"{STATE}/daemon.plist"
    return shell.script(
        ["files", "turn"],
        [[verb]],
        state=STATE,
        previous=PREVIOUS,
        older=f"{STATE}/older",
        copied=copied,
        plist=plist,
        digest=digest,
        flag=DRAINING,
        upgrade=UPGRADE,
        number=str(number),
    )


def there(shell: BsdShell, path: str) -> Path:
    return shell.prefix / path.removeprefix("/opt/raylab/")


def lay(shell: BsdShell, digest: str) -> None:
    """The files of one state of the Mac."""
    for path, text in ((f"{STATE}/daemon.plist", digest), (f"{LIBEXEC}/wrapper", f"wrapper of {digest}")):
        there(shell, path).parent.mkdir(parents=True, exist_ok=True)
        there(shell, path).write_text(text)


def found(shell: BsdShell) -> list[str]:
    return [there(shell, path).read_text() for path in (f"{STATE}/daemon.plist", f"{LIBEXEC}/wrapper")]


def test_the_flag_comes_and_goes(shell: BsdShell) -> None:
    assert turn(shell, "flag") == (0, "")
    assert there(shell, DRAINING).exists()
    assert turn(shell, "flag") == turn(shell, "unflag") == turn(shell, "unflag") == (0, "")
    assert not there(shell, DRAINING).exists()


def test_what_was_kept_comes_back_and_can_be_gone_back_from(shell: BsdShell) -> None:
    lay(shell, "old")
    assert turn(shell, "keep", "old") == (0, "")
    lay(shell, "new")
    assert turn(shell, "swap") == (0, "")
    assert found(shell) == ["old", "wrapper of old"]
    assert turn(shell, "swap") == (0, "")
    assert found(shell) == ["new", "wrapper of new"]


def test_a_plist_that_was_never_loaded_is_not_kept(shell: BsdShell) -> None:
    lay(shell, "old")
    turn(shell, "keep", "old")
    # Written by a run that was killed before it could load it.
    lay(shell, "new")
    assert turn(shell, "keep", "old") == (0, "")
    turn(shell, "swap")
    assert found(shell) == ["old", "wrapper of old"]


def test_without_anything_kept_nothing_is_changed(shell: BsdShell) -> None:
    lay(shell, "new")
    assert turn(shell, "swap") == (1, "nothing is kept to go back to\n")
    assert found(shell) == ["new", "wrapper of new"]


def test_what_was_no_good_is_not_kept(shell: BsdShell) -> None:
    for digest, after in (("first", "old"), ("old", "broken")):
        lay(shell, digest)
        assert turn(shell, "keep", digest) == (0, "")
        lay(shell, after)
    assert turn(shell, "restore") == (0, "")
    assert found(shell) == ["old", "wrapper of old"]
    # A rollback now goes to what was there before.
    assert turn(shell, "swap") == (0, "")
    assert found(shell) == ["first", "wrapper of first"]


def test_what_is_kept_already_stays_kept_once(shell: BsdShell) -> None:
    lay(shell, "first")
    turn(shell, "keep", "first")
    lay(shell, "old")
    # The turn was interrupted after this, and comes again.
    assert turn(shell, "keep", "old") == turn(shell, "keep", "old") == (0, "")
    lay(shell, "broken")
    turn(shell, "restore")
    turn(shell, "swap")
    assert found(shell) == ["first", "wrapper of first"]


def turned(shell: BsdShell) -> Turned:
    found: Turned = shell.fact(Turns)
    return found


def test_what_runs_and_what_is_kept_have_the_numbers_of_their_upgrades(shell: BsdShell) -> None:
    assert turned(shell) == Turned()
    lay(shell, "first")
    turn(shell, "keep", "first", 1)
    lay(shell, "old")
    assert turned(shell) == Turned(1, 0)
    # Interrupted after this, and gone on with.
    assert turn(shell, "keep", "old", 2) == turn(shell, "keep", "old", 2) == (0, "")
    lay(shell, "broken")
    assert turned(shell) == Turned(2, 1)
    turn(shell, "restore")
    assert turned(shell) == Turned(1, 0)
    turn(shell, "swap")
    assert turned(shell) == Turned(0, 1)


def test_the_release_that_is_kept_is_told_by_its_plist() -> None:
    lines = "upgrade 3\nkept 2\n\t<key>RAYLAB_RELEASE</key>\n\t<string>/opt/raylab/releases/abc</string>"
    assert fact(Turns, lines) == Turned(3, 2, "abc")
