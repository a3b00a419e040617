"""What the ingress decides by itself: names, answers under another name, errors."""

# ruff: noqa: ANN401
from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("ray.serve.llm")

from fastapi.exceptions import RequestValidationError
from ray.llm._internal.serve.core.configs.openai_api_models import OpenAIHTTPException
from ray.serve.exceptions import BackPressureError
from raylab_serving import answers
from raylab_serving.catalog import Catalog, Model
from raylab_serving.errors import ApiError, EngineFailed, api_error, is_failure
from starlette.exceptions import HTTPException

FIRST = Model("a/b", "model:a--b", "Server:a--b", aliases=["gpt-4o"], adapters=["sql"])
SECOND = Model("c", "model:c", "Server:c")


def chunk(model: str, text: str = "x") -> str:
    return f"data: {json.dumps({'model': model, 'choices': [{'delta': {'content': text}}]})}\n\n"


def test_names_come_in_the_order_of_the_settings() -> None:
    catalog = Catalog([FIRST, SECOND])
    assert [(served.name, served.model, served.known_as) for served in catalog] == [
        ("a/b", FIRST, "a/b"),
        ("gpt-4o", FIRST, "a/b"),
        ("sql", FIRST, "sql"),
        ("c", SECOND, "c"),
    ]
    assert [served.is_alias for served in catalog] == [False, True, False, False]
    assert [served.is_adapter for served in catalog] == [False, False, True, False]


def test_a_request_without_a_name_means_the_only_model() -> None:
    assert Catalog([FIRST]).find(None).name == "a/b"
    with pytest.raises(ApiError, match=r"names no model\. There are: a/b, gpt-4o, sql, c"):
        Catalog([FIRST, SECOND]).find(None)


def test_an_answer_goes_out_under_the_name_that_was_asked_for() -> None:
    assert answers.renamed([chunk("m"), chunk("m", "ü") + answers.DONE], "alias") == [
        'data: {"model":"alias","choices":[{"delta":{"content":"x"}}]}\n\n',
        'data: {"model":"alias","choices":[{"delta":{"content":"ü"}}]}\n\ndata: [DONE]\n\n',
    ]
    assert answers.renamed({"model": "m", "object": "list"}, "alias") == {"model": "alias", "object": "list"}
    error = 'data: {"error": {"message": "no"}}\n\n'
    assert answers.renamed(error, "alias") == error


def test_text_that_looks_like_an_event_stays_text() -> None:
    text = 'say "model": "m"\n\ndata: {"model": "m"}'
    out = answers.renamed(chunk("m", text), "alias")
    assert json.loads(out.removeprefix("data: "))["choices"][0]["delta"]["content"] == text


@pytest.mark.parametrize(
    ("part", "failed"),
    [
        (['data: {"error": {"message": "dead", "code": 500}}\n\n', answers.DONE], True),
        ('data: {"error": {"message": "bad", "code": 400}}\n\n', False),
        ('data: {"error": {"message": "other", "code": "queue_full"}}\n\n', False),
        (chunk("m"), False),
        ({"error": {"code": 500}}, False),
    ],
)
def test_a_stream_that_starts_with_a_failure(part: Any, failed: bool) -> None:
    assert answers.failed_start(part) is failed


def test_parts_become_events() -> None:
    assert answers.events([chunk("m"), {"a": 1}]) == chunk("m") + 'data: {"a": 1}\n\n'


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (BackPressureError(3, 2), 503, "queue_full", "1"),
        (BackPressureError(3, 2, 429, 7.5), 429, "queue_full", "8"),
        (OpenAIHTTPException(408, "too slow", "Timeout"), 408, None, None),
        (HTTPException(405, "no"), 405, None, None),
        (EngineFailed("m"), 503, "replica_lost", "1"),
        (ApiError(404, "no", code="model_not_found"), 404, "model_not_found", None),
        (KeyError("secret"), 500, "internal_error", None),
    ],
)
def test_errors_in_openais_form(error: Exception, status: int, code: str | None, retry: str | None) -> None:
    answer = api_error(error).response()
    told = json.loads(bytes(answer.body))["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert (answer.status_code, told["code"], answer.headers.get("Retry-After")) == (status, code, retry)
    assert "secret" not in told["message"]


def test_a_field_that_is_wrong_is_named() -> None:
    error = RequestValidationError([{"type": "int", "loc": ("body", "messages", 0, "role"), "msg": "Field required"}])
    told = api_error(error)
    assert (told.param, told.message) == ("messages.0.role", "messages.0.role: Field required")


def test_whose_fault_it_was() -> None:
    assert is_failure(EngineFailed())
    assert not is_failure(ValueError())
