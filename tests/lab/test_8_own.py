"""What a person brings of their own beside raylab's models, on a fleet that serves; and what is refused there."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator

import openai
import pytest
from engines_lab import INVENTORY, MODELS, client, greedy
from harness import ADDRESSES, CA, KEY, ROOT, door, lab, on, processes, pyinfra, wait_for

from fleet.wheel import built

HOME = ROOT / ".lab/tests/own"
# What serves, by the names that its processes carry.
SERVING = re.compile(r"ray::ServeReplica:(?:model:)?([^:]+)|ray::(RingRank)|VLLM::(\w+)")
# Its replicas come and go with requests, those of earlier tests too.
SCALES = "tiny-mlx"
# Each Mac's entry, each other model's replicas, the other rank of the ring, vLLM's engines.
AT_REST = Counter({"llm": 3, "tiny": 2, "tiny-ring": 1, "RingRank": 1, "EngineCore": 2, "Worker": 2})
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


def serving() -> dict[tuple[str, int], str]:
    """What serves, by Mac and process, but for the model that scales."""
    return {
        (mac, pid): name
        for mac in ADDRESSES
        for pid, command in processes(mac).items()
        if (found := SERVING.search(command)) and (name := next(filter(None, found.groups()))) != SCALES
    }


def at_rest() -> dict[tuple[str, int], str]:
    """What serves, once it is whole: one look, for a child carries its parent's name for a moment."""
    looks: list[dict[tuple[str, int], str]] = []

    def rests() -> bool:
        looks.append(serving())
        return Counter(looks[-1].values()) == AT_REST

    wait_for("a fleet at rest", rests, seconds=600)
    return looks[-1]


@pytest.fixture(scope="module")
def own(engines: str) -> Iterator[dict[tuple[str, int], str]]:
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
    before = at_rest()
    pyinfra("deploy/cluster.py", inventory=path)
    yield before
    pyinfra("deploy/cluster.py", inventory=INVENTORY)
    wait_for("the models of before", lambda: {model.id for model in client().models.list()} == {*MODELS, "gpt-4o"}, 120)


def test_a_context_that_no_longer_fits_is_refused_before_anything_moves(engines: str) -> None:
    # 512 tokens would fit: 60000 requests of them take 24 GB of alpha's and beta's memory.
    path = inventory('models[0].update({"concurrency": 60000, "context": 2048})\n')
    before = at_rest()
    refused = pyinfra("deploy/cluster.py", inventory=path, check=False)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 2, said
    assert "tiny" in said
    assert re.search(r"All would fit with a context of \d+", said), said
    assert "Starting operation" not in said
    wait_for("the same processes as before", lambda: serving() == before, seconds=30)
    with pytest.raises(openai.BadRequestError):
        client().completions.create(model="tiny", prompt="x " * 600, max_tokens=1)


@pytest.mark.parametrize("mac", ADDRESSES)
def test_an_application_of_the_users_own_answers_on_every_mac(own: dict[tuple[str, int], str], mac: str) -> None:
    url = f"{door(mac).removesuffix('/v1')}/hello/x"
    key = f"Authorization: Bearer {KEY.read_text()}"
    done = lab("client", "curl", "-sf", "--cacert", str(CA), "-H", key, url)
    assert json.loads(done.stdout) == {"greeting": "good day", "path": "/hello/x"}


def test_a_model_by_a_whole_llm_config_answers_beside_the_others(own: dict[tuple[str, int], str]) -> None:
    assert greedy("tiny-own") == greedy("tiny-mlx")
    assert "tiny-own" in {model.id for model in client("beta").models.list()}


def test_what_served_before_serves_on(own: dict[tuple[str, int], str]) -> None:
    assert own.items() <= serving().items()
