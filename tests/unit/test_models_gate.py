"""pyinfra's own command with a model from Hugging Face: asked about before any Mac is, and only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_project import Project
from hub_server import COMMIT, model_files, running

REPOSITORY = Path(__file__).parents[2]
SHOW = """
from roles.context import the_fleet

weights = the_fleet().models[0].weights
print("seen:", weights.tensor_bytes, weights.revision)
"""
FETCH = """
from roles import sources
from roles.context import the_fleet

print("fetched:", len(sources.gathered(the_fleet().models[0]).files))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One Mac, which is this machine."""
    made = Project(tmp_path)
    made.change("inventory/group_data/all.py", '"models/tiny"', f'"hf:lab/tiny", "revision": "{COMMIT}"')
    made.write("inventory/local.py", 'head = [("@local", {"node_ip": "127.0.0.1"})]\n')
    made.write("config.py", (REPOSITORY / "config.py").read_text())
    made.write("deploy.py", SHOW)
    return made


def pyinfra(project: Project, endpoint: str) -> subprocess.CompletedProcess[str]:
    ours = {"PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": endpoint, "HF_HOME": str(project.root / "home")}
    return subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", "inventory/local.py", "deploy.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=project.root,
        env={**os.environ, **ours},
        timeout=120,
    )


def test_a_run_knows_the_model_and_the_next_one_asks_nobody(project: Project) -> None:
    weights = model_files()["model.safetensors"]
    with running() as hub:
        hub.add("lab/tiny", model_files())
        first = pyinfra(project, hub.url)
        assert hub.sent(weights) == 0, "only what the plan needs is fetched before the plan"
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("depot: asking Hugging Face about hf:lab/tiny") == 1
    assert first.stderr.index("depot: asking") < first.stderr.index("Connecting")
    line = f"seen: {len(weights)} {COMMIT[:12]}"
    assert line in first.stdout
    second = pyinfra(project, "http://127.0.0.1:1")
    assert line in second.stdout
    assert "Hugging Face" not in second.stderr


def test_the_files_are_fetched_inside_of_pyinfra(project: Project) -> None:
    """Which makes every thread and socket another one."""
    project.write("deploy.py", FETCH)
    with running() as hub:
        hub.add("lab/tiny", model_files(os.urandom(3_000_000)))
        first = pyinfra(project, hub.url)
    assert "fetched: 4" in first.stdout, first.stderr
    assert "depot: hf:lab/tiny: 1 file, 3.0 MB in " in first.stderr
    second = pyinfra(project, "http://127.0.0.1:1")
    assert "fetched: 4" in second.stdout, second.stderr


def test_a_hub_that_does_not_answer_ends_the_run_before_any_mac_is_asked(project: Project) -> None:
    done = pyinfra(project, "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "Connecting" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("-->")]
    assert lines[:2] == [
        "depot: asking Hugging Face about hf:lab/tiny",
        "raylab: the models cannot be had. No Mac was touched.",
    ]
    assert lines[2].startswith("hf:lab/tiny: http://127.0.0.1:1 gives no good answer: ")
    assert len(lines) == 3
