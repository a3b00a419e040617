"""The door's program and configuration on a Mac: scripts for real, under bash and dash, and what the role asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bsd_shell import BsdShell

from macos.facts.gateway import Answered, Programs

PROGRAM = "/opt/raylab/gateway/0123456789ab/caddy"


@pytest.fixture(params=["bash", "dash"])
def mac(request: pytest.FixtureRequest, tmp_path: Path) -> BsdShell:
    return BsdShell(request.param, tmp_path, ())


class Loaded:
    """What Caddy answers; the signal makes it take what is `written`."""

    digest = "old"


@pytest.fixture
def caddy() -> Iterator[tuple[Loaded, str]]:
    loaded = Loaded()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/reload":
                loaded.digest = "new"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(loaded.digest.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield loaded, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_program_outlives_its_release(mac: BsdShell) -> None:
    env = mac.prefix / "releases/x/env/bin"
    env.mkdir(parents=True)
    (env / "caddy").write_text("#!/bin/sh\n")
    (env / "caddy").chmod(0o755)
    assert mac.fact(Programs, directory="/opt/raylab/gateway", wanted=PROGRAM) == []
    source = "/opt/raylab/releases/x/env/bin/caddy"
    assert mac.script(["files", "gateway"], [["kept", PROGRAM, source]]) == (0, "")
    path = mac.prefix / "gateway/0123456789ab/caddy"
    assert path.samefile(env / "caddy")
    (env / "caddy").unlink()
    (mac.prefix / "gateway/aaaaaaaaaaaa").mkdir()
    found = mac.fact(Programs, directory="/opt/raylab/gateway", wanted=PROGRAM)
    assert sorted(found) == ["/opt/raylab/gateway/0123456789ab", PROGRAM, "/opt/raylab/gateway/aaaaaaaaaaaa"]
    assert mac.script(["files", "gateway"], [["gone", "/opt/raylab/gateway/aaaaaaaaaaaa"]]) == (0, "")
    assert [each.name for each in (mac.prefix / "gateway").iterdir()] == ["0123456789ab"]


def test_a_release_without_caddy_is_told(mac: BsdShell) -> None:
    code, said = mac.script(["files", "gateway"], [["kept", PROGRAM, "/opt/raylab/nowhere/caddy"]])
    assert code == 1
    assert f"{PROGRAM} could not be linked" in said


def test_caddy_is_told_to_read_and_asked_what_it_has(mac: BsdShell, caddy: tuple[Loaded, str]) -> None:
    loaded, url = caddy
    assert mac.fact(Answered, url=f"{url}/config") == "old"
    mac.command(
        "launchctl", f'test "$*" = "kill SIGUSR1 system/io.raylab.gateway" && exec curl -s {url}/reload -o /dev/null'
    )
    variables = {"label": "io.raylab.gateway", "url": f"{url}/config", "digest": "new", "log": "/nowhere"}
    assert mac.script(["files", "gateway"], [["loaded"]], **variables) == (0, "")
    assert loaded.digest == "new"


def test_a_configuration_that_caddy_does_not_take(mac: BsdShell, caddy: tuple[Loaded, str]) -> None:
    mac.command("launchctl", "true")
    (mac.prefix / "gateway.log").write_text("failed to reload: line 3\n")
    variables = {"label": "x", "url": f"{caddy[1]}/config", "digest": "new", "patience": 1}
    code, said = mac.script(["files", "gateway"], [["loaded"]], log="/opt/raylab/gateway.log", **variables)
    assert code == 1
    assert "line 3" in said
    assert "x does not take its new configuration, and goes on with the old one" in said


def test_a_job_that_does_not_run(mac: BsdShell) -> None:
    mac.command("launchctl", "exit 3")
    variables = {"label": "x", "url": "http://127.0.0.1:9/", "digest": "new", "log": "/nowhere"}
    code, said = mac.script(["files", "gateway"], [["loaded"]], **variables)
    assert (code, said.strip()) == (1, "x does not run: deploy/status.py shows it")
    assert mac.fact(Answered, url="http://127.0.0.1:9/") == ""
