"""What a person brings of their own beside raylab's models, on a fleet that serves; and what is refused there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import openai
import pytest
from engines_lab import INVENTORY, MODELS, client, greedy
from harness import ADDRESSES, CA, KEY, ROOT, door, lab, on, processes, pyinfra

from fleet.wheel import built

HOME = ROOT / ".lab/tests/own"
# Replicas, their engines and the ranks of rings; the entries too.
SERVING = r"ray::ServeReplica|ray::RingRank|VLLM::"
PROJECT = """
[project]
name = "hello"
version = "1.0"

[tool.hatch.build.targets.wheel]
packages = ["hello"]
"""
APPLICATION = """
from ray import serve


@serve.deployment
class Hello:
    def __init__(self, greeting):
        self.greeting = greeting

    async def __call__(self, request):
        return {"greeting": self.greeting, "path": request.url.path}


def app(args):
    return Hello.bind(args["greeting"])
"""
OWN = """
models.append({{"id": "tiny-own", "llm_config": "{config}", "macs": ["gamma"], "memory_gb": 1}})
applications = [
    {{
        "name": "hello",
        "route_prefix": "/hello",
        "import_path": "hello:app",
        "wheel": "{wheel}",
        "args": {{"greeting": "good day"}},
    }},
]
"""
LLM_CONFIG = """
model_loading_config:
  model_id: tiny-own
  model_source: {source}
server_cls: raylab_serving.mlx:MlxServer
deployment_config:
  num_replicas: 1
  max_ongoing_requests: 2
engine_kwargs:
  context: 512
  cache_gb: 0.05
  concurrency: 2
"""


def inventory(further: str) -> str:
    """The inventory of the engines with further settings."""
    folder = HOME / "group_data"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("all.py", "simulated.py", "engines.py"):
        shutil.copyfile(ROOT / "inventory/group_data" / name, folder / name)
    shutil.copyfile(ROOT / INVENTORY, HOME / "engines.py")
    with (folder / "engines.py").open("a") as settings:
        settings.write(further)
    return str((HOME / "engines.py").relative_to(ROOT))


def serving() -> dict[str, set[int]]:
    """The processes that serve, by Mac."""
    return {mac: {pid for pid, command in processes(mac).items() if re.search(SERVING, command)} for mac in ADDRESSES}


@pytest.fixture(scope="module")
def own(engines: str) -> Iterator[dict[str, set[int]]]:
    """A model by a whole LLMConfig and an application of the user's own, added; the value is what served before."""
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "project/hello").mkdir(parents=True)
    (HOME / "project/pyproject.toml").write_text(PROJECT)
    (HOME / "project/hello/__init__.py").write_text(APPLICATION)
    wheel = built(HOME / "project")
    (HOME / wheel.file).write_bytes(wheel.data)
    source = on("gamma", "ls -d /opt/raylab/weights/tiny-mlx/*").strip()
    (HOME / "own.yaml").write_text(LLM_CONFIG.format(source=source))
    names = {"config": HOME / "own.yaml", "wheel": HOME / wheel.file}
    path = inventory(OWN.format(**{name: file.relative_to(ROOT) for name, file in names.items()}))
    before = serving()
    pyinfra("deploy/cluster.py", inventory=path)
    yield before
    pyinfra("deploy/cluster.py", inventory=INVENTORY)
    assert {model.id for model in client().models.list()} == {*MODELS, "gpt-4o"}


@pytest.mark.parametrize("mac", ADDRESSES)
def test_an_application_of_the_users_own_answers_on_every_mac(own: dict[str, set[int]], mac: str) -> None:
    url = f"{door(mac).removesuffix('/v1')}/hello/x"
    key = f"Authorization: Bearer {KEY.read_text()}"
    done = lab("client", "curl", "-sf", "--cacert", str(CA), "-H", key, url)
    assert json.loads(done.stdout) == {"greeting": "good day", "path": "/hello/x"}


def test_a_model_by_a_whole_llm_config_answers_beside_the_others(own: dict[str, set[int]]) -> None:
    assert greedy("tiny-own") == greedy("tiny-mlx")
    assert "tiny-own" in {model.id for model in client("beta").models.list()}


def test_what_served_before_serves_on(own: dict[str, set[int]]) -> None:
    after = serving()
    assert all(own.values())
    assert all(own[mac] <= after[mac] for mac in ADDRESSES)


def test_a_context_that_no_longer_fits_is_refused_before_anything_moves(engines: str) -> None:
    # 512 tokens would fit: 60000 requests of them take 24 GB of alpha's and beta's memory.
    path = inventory('models[0].update({"concurrency": 60000, "context": 2048})\n')
    before = serving()
    refused = pyinfra("deploy/cluster.py", inventory=path, check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 2, said
    assert "tiny" in said
    assert re.search(r"All would fit with a context of \d+", said), said
    assert "Starting operation" not in said
    assert serving() == before
    with pytest.raises(openai.BadRequestError):
        client().completions.create(model="tiny", prompt="x " * 600, max_tokens=1)
