"""The last words of a converge: a line that works when it is pasted, and no secret in it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from depot.keys import key_hashes
from fleet.settings import Fleet
from roles.gateway import key_file
from roles.summary import curl_line


def arguments(line: str, folder: Path) -> list[str]:
    """What a shell makes of the line."""
    (folder / "curl").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / "curl").chmod(0o755)
    done = subprocess.run(["sh", "-c", line], env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_line_to_paste_reads_the_key_itself(fleet: Fleet, tmp_path: Path) -> None:
    fleet = replace(fleet, secrets=tmp_path / "my secrets")
    key_hashes(fleet.secrets, fleet.api_keys)
    key = key_file(fleet).read_text()
    line = curl_line(fleet)
    assert key not in line
    words = arguments(line, tmp_path)
    assert words[:4] == [
        "-s",
        "--cacert",
        str(fleet.secrets / "door-ca.pem"),
        "https://10.77.0.11:8443/v1/chat/completions",
    ]
    assert f"Authorization: Bearer {key}" in words


def test_a_certificate_of_the_users_own_is_asked_by_its_name(fleet: Fleet, tmp_path: Path) -> None:
    files = {"certificate": "/x/llm.pem", "key": "/x/llm-key.pem"}
    named = replace(fleet, tls=files, door_names=("llm.example.org",), secrets=tmp_path)
    assert curl_line(named).startswith("curl -s https://llm.example.org:8443/v1/chat/completions ")
    plain = replace(fleet, tls="off", secrets=tmp_path)
    assert curl_line(plain).startswith("curl -s http://10.77.0.11:8443/v1/chat/completions ")
