"""What the page docs/conformance.md and its tests have in common: OpenAI's parameters, and values that ask for them.

`PYTHONPATH=serving .venv/bin/python tests/serving/conformance.py` writes the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params
from raylab_serving import vllm_parameters
from raylab_serving.mlx import parameters as mlx_parameters
from raylab_serving.parameters import BOTH, EMPTY, Api, Parameter, Treatment, rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
COMMAND = "PYTHONPATH=serving .venv/bin/python tests/serving/conformance.py"
ENGINES = {"vllm": "vLLM", "mlx": "mlx-lm"}
_TABLES = {"vllm": rows(vllm_parameters.TABLE), "mlx": rows(mlx_parameters.TABLE)}

# A value that asks for something, of each parameter that one of the engines refuses or ignores.
ASKING: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "best_of": 3,
    "function_call": "auto",
    "functions": [{"name": "weather", "parameters": {}}],
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni-moderation-latest"},
    "prediction": {"type": "content", "content": "Hello"},
    "prompt_cache_key": "mine",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "response_format": {"type": "json_object"},
    "safety_identifier": "somebody",
    "service_tier": "flex",
    "store": True,
    "suffix": "end",
    "user": "somebody",
    "verbosity": "low",
    "web_search_options": {},
}
# A value that asks for nothing, of those refused ones that have one.
TAKEN: dict[str, Any] = {
    "best_of": 1,
    "function_call": "none",
    "functions": [],
    "modalities": ["text"],
    "response_format": {"type": "text"},
    "verbosity": "medium",
}
# A value that nobody takes, of each parameter whose honoured values have limits.
OUTSIDE: dict[str, Any] = {
    "frequency_penalty": 2.5,
    "logit_bias": {"99999": 1},
    "logprobs": 21,
    "max_completion_tokens": 0,
    "max_tokens": 100_000,
    "n": 0,
    "presence_penalty": -2.5,
    "stop": [""],
    "temperature": 2.5,
    "top_logprobs": 21,
    "top_p": 0,
}
# vLLM's own parameters that the page tells of, beside OpenAI's.
FURTHER: tuple[str, ...] = (
    "add_generation_prompt",
    "allowed_token_ids",
    "bad_words",
    "chat_template_kwargs",
    "continue_final_message",
    "documents",
    "ignore_eos",
    "include_stop_str_in_output",
    "logprob_token_ids",
    "min_p",
    "min_tokens",
    "prompt_logprobs",
    "repetition_detection",
    "repetition_penalty",
    "request_id",
    "return_prompt_text",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "skip_special_tokens",
    "stop_token_ids",
    "structured_outputs",
    "top_k",
    "truncate_prompt_tokens",
    "use_beam_search",
)
_CHAT_ONLY = frozenset(
    ("add_generation_prompt", "chat_template_kwargs", "continue_final_message", "documents", "return_prompt_text")
)


def openai_names(api: Api) -> frozenset[str]:
    """Every parameter of OpenAI's own client."""
    module = chat_create_params if api == "chat" else completion_create_params
    kinds = (module.CompletionCreateParamsNonStreaming, module.CompletionCreateParamsStreaming)
    return frozenset(name for kind in kinds for name in kind.__annotations__)


def further_names(api: Api) -> frozenset[str]:
    """Those of vLLM's own that the page tells of."""
    return frozenset(FURTHER) - (_CHAT_ONLY if api == "completions" else frozenset())


@dataclass(frozen=True)
class Entry:
    """What becomes of one parameter of one API with one engine."""

    engine: str
    api: Api
    name: str
    row: Parameter

    @property
    def treatment(self) -> Treatment:
        return self.row.treatment

    @property
    def note(self) -> str:
        """As the page says it."""
        reason, check = self.row.reason, self.row.check
        if check is None or check is EMPTY:
            return reason
        if self.treatment == "refused":
            return f"{reason} (only {check.words} is accepted)"
        return "; ".join(word for word in (check.words, reason) if word)


def entry(engine: str, api: Api, name: str) -> Entry:
    """Raises KeyError for a parameter of OpenAI's of which nobody has said what becomes of it."""
    row = _TABLES[engine][api].get(name)
    if row is None and engine == "vllm" and name in FURTHER:
        row = Parameter(name, (api,), "honoured", "")
    if row is None:
        raise KeyError(f"{name} of {api}: say in serving/raylab_serving/ what becomes of it with {engine}")
    return Entry(engine, api, name, row)


def entries(names: Mapping[Api, Iterable[str]]) -> list[Entry]:
    """One for each engine, API and name."""
    return [entry(engine, api, name) for api in BOTH for name in sorted(names[api]) for engine in ENGINES]


OPENAI: Mapping[Api, frozenset[str]] = {api: openai_names(api) for api in BOTH}
VLLM: Mapping[Api, frozenset[str]] = {api: further_names(api) for api in BOTH}

_HEAD = f"""# What becomes of each parameter

Of OpenAI's chat completions (`/v1/chat/completions`) and completions (`/v1/completions`), with each engine. A parameter
is **honoured**, or **refused** with a 400 that names it and says why, or **ignored** where that changes no answer. What
is in no table is refused with both engines, unless vLLM knows it.

Each line has been proved over HTTP, through the fleet's ingress, on both engines (vLLM's on a CPU) with a model whose
answers are known beforehand: `tests/serving/test_conformance.py`. The names are those of OpenAI's Python client, so a
new one fails that test until somebody decides. This page is written by

    {COMMAND}
"""
_FURTHER_HEAD = """
## vLLM's own parameters

vLLM has more than these, and they go to it as they are. What mlx-lm makes of each is in
`serving/raylab_serving/mlx/parameters.py`, tested in `tests/serving/test_mlx_parameters.py`.
"""


def page() -> str:
    """The whole page."""
    return f"{_HEAD}\n## OpenAI's parameters\n\n{_table(OPENAI)}{_FURTHER_HEAD}\n{_table(VLLM)}"


def _table(names: Mapping[Api, Iterable[str]]) -> str:
    lines: dict[str, dict[Api, str]] = {}
    for name in sorted({name for api in BOTH for name in names[api]}):
        lines[name] = {api: _cells(api, name) for api in BOTH if name in names[api]}
    head = "| parameter | API | vLLM | mlx-lm | note |\n|---|---|---|---|---|\n"
    text = ""
    for name, cells in lines.items():
        for cell in dict.fromkeys(cells.values()):
            apis = ", ".join(api for api in cells if cells[api] == cell)
            text += f"| `{name}` | {apis} | {cell} |\n"
    return head + text


def _cells(api: Api, name: str) -> str:
    found = {engine: entry(engine, api, name) for engine in ENGINES}
    notes = {engine: one.note for engine, one in found.items() if one.note}
    if len(notes) == len(ENGINES) and len(set(notes.values())) == 1:
        note = notes["vllm"]
    else:
        note = ". ".join(_told(ENGINES[engine], text) for engine, text in notes.items())
    return " | ".join([*(one.treatment for one in found.values()), note])


def _told(engine: str, text: str) -> str:
    return text if text.startswith(engine) else f"{engine}: {text}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
