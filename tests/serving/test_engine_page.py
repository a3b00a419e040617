"""The engine of docs/engines.md, served: settings, plan and Serve config as on a Mac, Ray Serve and raylab's entry."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

import pytest

pytest.importorskip("ray.serve.llm")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "unit"))

import engine_page
import httpx
import openai
import ray
from fleet_project import Project
from free_ports import free_port
from ingress_cluster import until
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from fleet import engines
from fleet.plan import make_plan
from fleet.ray import MAC_LABEL, label, offered
from fleet.serve import serve_config
from fleet.settings import GB, Fleet

# Processes that import vLLM's requests, at ten seconds of a core each, on a machine that may be busy.
START_S = 240


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("engine")
    code = shutil.copytree(ROOT / "serving", folder / "serving")
    (code / "raylab_serving" / "echo.py").write_text(engine_page.module())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{code}:{os.environ.get('PYTHONPATH', '')}")
        for name, row in engine_page.row().items():
            patch.setitem(engines.ENGINES, name, row)  # type: ignore[arg-type]
        fleet = _fleet(Project(folder / "project"))
        _start_ray(fleet)
        # Only from here on: without a cluster of its own, Serve would look for another one, and shut that down.
        try:
            yield _served(fleet)
        finally:
            serve.shutdown()
            ray.shutdown()


def _start_ray(fleet: Fleet) -> None:
    """A cluster of our own, whatever else runs on this machine."""
    ray.init(
        address="local",
        num_cpus=4,
        resources=offered(),
        labels={MAC_LABEL: label(fleet.head)},
        _memory=64 * GB,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
    )


def _served(fleet: Fleet) -> openai.OpenAI:
    """A client of the fleet's one Mac, once the model answers."""
    config = serve_config(fleet, make_plan(fleet, {}))
    port = free_port()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    _get_global_client().deploy_apps(ServeDeploySchema(**config))
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=30)
    until(lambda: _answers(client), START_S)
    return client


def _fleet(project: Project) -> Fleet:
    project.write("inventory/lab.py", 'head = [("@local", {"node_ip": "127.0.0.1"})]\n')
    project.change(
        "inventory/group_data/all.py",
        '"context": 512,',
        '"context": 512, "engine": "echo", "engine_kwargs": {"before": "so: "},',
    )
    return project.load()


def _answers(client: openai.OpenAI) -> bool:
    try:
        return bool(client.completions.create(model="tiny", prompt="are you there").choices)
    except openai.APIError:
        return False


def test_a_chat(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "one two"}])
    assert found.choices[0].message.content == "so: one two"
    assert found.model == "tiny"
    assert found.usage is not None
    assert found.usage.completion_tokens == 3


def test_a_stream(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "one two"}], stream=True)
    )
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["so:", " one", " two"]


def test_a_completion(client: openai.OpenAI) -> None:
    assert client.completions.create(model="tiny", prompt="one").choices[0].text == "so: one"


def test_the_list_of_models(client: openai.OpenAI) -> None:
    assert [card.id for card in client.models.list()] == ["tiny"]


def test_what_is_not_written_is_an_error(client: openai.OpenAI) -> None:
    url = str(client.base_url.copy_with(path="/tokenize"))
    assert httpx.post(url, json={"model": "tiny", "prompt": "one"}, timeout=30).status_code == 500
