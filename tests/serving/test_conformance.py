"""OpenAI's parameters, one by one, on both engines as they are served; docs/conformance.md says the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("vllm")
pytest.importorskip("mlx_lm")
pytest.importorskip("ray")

# Theirs are assertions of tests.
pytest.register_assert_rewrite("conformance_door", "conformance_proofs", "conformance_further")

import conformance
import conformance_further  # noqa: F401
import test_mlx_parameters
from conformance import ENGINES, FURTHER, OPENAI, VLLM, Entry, entries
from conformance_door import Door, opened
from conformance_proofs import PROOFS
from raylab_serving.parameters import BOTH, EMPTY, Api

FOUND = [*entries(OPENAI), *entries(VLLM)]
ASKING = {**test_mlx_parameters.ASKING, **conformance.ASKING}
# The check of this one is shown by its proof.
PROVED_LIMITS = {"tool_choice"}


def of(*treatments: str) -> pytest.MarkDecorator:
    """Each parameter with one of these treatments."""
    chosen = [one for one in FOUND if one.treatment in treatments]
    return pytest.mark.parametrize("entry", chosen, ids=[f"{one.engine}-{one.api}-{one.name}" for one in chosen])


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Door]]:
    with opened(tmp_path_factory.mktemp("conformance")) as found:
        yield found


def beside(entry: Entry) -> dict[str, Any]:
    """What a parameter cannot be without."""
    if entry.name in ("top_logprobs", "logprob_token_ids"):
        return {"logprobs": True if entry.api == "chat" else 1}
    return {}


def test_the_page_says_what_is_tested_here() -> None:
    assert conformance.PAGE.read_text(encoding="utf-8") == conformance.page(), f"rewrite it: {conformance.COMMAND}"


@pytest.mark.parametrize("api", BOTH)
def test_openais_client_has_parameters(api: Api) -> None:
    """That they are all in the tables is seen when `entries` reads them."""
    assert {"model", "stream", "temperature"} <= OPENAI[api]


@of("honoured")
def test_what_is_honoured(doors: dict[str, Door], entry: Entry) -> None:
    PROOFS[entry.name](doors[entry.engine], entry.api)


@of("refused")
def test_what_is_refused(doors: dict[str, Door], entry: Entry) -> None:
    door = doors[entry.engine]
    # vLLM's own check of this one comes first in a stream, whatever the engine.
    for stream in (False, True) if entry.name != "prompt_logprobs" else (False,):
        error = door.refusal(entry.api, "[plain]", stream=stream, **{entry.name: ASKING[entry.name]}, **beside(entry))
        assert error["type"] == "invalid_request_error"
        assert error["param"] == entry.name
        assert entry.row.reason in error["message"]
    check = entry.row.check
    if check and check is not EMPTY and entry.name in OPENAI[entry.api]:
        value = conformance.TAKEN[entry.name]
        assert door.texts(entry.api, "[plain]", **{entry.name: value}) == door.texts(entry.api, "[plain]")


@of("ignored")
def test_what_is_ignored(doors: dict[str, Door], entry: Entry) -> None:
    door = doors[entry.engine]
    asked, plain = (door.ask(entry.api, "[plain]", **more) for more in ({entry.name: ASKING[entry.name]}, {}))
    assert asked["choices"] == plain["choices"]


@of("honoured")
def test_values_that_nobody_takes(doors: dict[str, Door], entry: Entry) -> None:
    if entry.name in FURTHER or entry.name in PROVED_LIMITS:
        return
    if entry.name not in conformance.OUTSIDE:
        assert entry.row.check is None
        return
    error = doors[entry.engine].refusal(
        entry.api, "[plain]", **{**beside(entry), entry.name: conformance.OUTSIDE[entry.name]}
    )
    # vLLM calls both of them logprobs.
    assert entry.name.removeprefix("top_") in f"{error['param']} {error['message']}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("api", BOTH)
@pytest.mark.parametrize("name", ["invented", "guided_json", "logits_processor"])
def test_what_nobody_knows_is_refused(doors: dict[str, Door], engine: str, api: Api, name: str) -> None:
    error = doors[engine].refusal(api, "[plain]", **{name: 1, "user": "somebody"})
    assert error["param"] == name
    assert error["message"] == f"{name}: no such parameter"


@pytest.mark.parametrize("engine", ENGINES)
def test_all_problems_are_told_at_once(doors: dict[str, Door], engine: str) -> None:
    wrong = {"temperature": 9, "best_of": 2, "suffix": "x", "invented": 1}
    message = doors[engine].refusal("completions", "[plain]", **wrong)["message"]
    assert [name for name in wrong if name not in message] == []
