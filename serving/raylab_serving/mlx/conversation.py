"""Messages become a prompt, by the model's chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from jinja2.exceptions import TemplateError

from raylab_serving.mlx.errors import BadRequest
from raylab_serving.mlx.load import Model
from raylab_serving.mlx.requests import Prompt, readable, valid_prompt

# What a template may raise when it meets messages that it was not made for.
REFUSALS = (TemplateError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
# What apply_chat_template of transformers takes beside a template's own variables, and is not the client's to say.
RESERVED = frozenset(
    [
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    ]
)


class Conversation:
    """The messages of one request, as its model is shown them."""

    def __init__(self, request: Any, model: Model, variables: Mapping[str, Any]) -> None:  # noqa: ANN401
        """`variables` are the template's, where the request does not name them. Raises BadRequest."""
        self._model, self._tokenizer = model, model.tokenizer
        if not self._tokenizer.has_chat_template:
            raise BadRequest("This model has no chat template: use /v1/completions, or set its chat_template")
        # /v1/chat/completions says so itself, /tokenize does not.
        if getattr(request, "chat_template", None) is not None:
            raise BadRequest("a client cannot bring a chat template", "chat_template")
        self._messages = [self._message(message) for message in request.messages]
        if not self._messages:
            raise BadRequest("messages: there is none", "messages")
        self._variables = {**variables, **_variables(request)}
        self._begins = request.add_generation_prompt and not request.continue_final_message
        self._continues = request.continue_final_message
        self._special = request.add_special_tokens

    def prompt(self, context: int | None = None) -> Prompt:
        """Tokens, and what is known of them.

        Raises BadRequest when the template refuses the messages, or what they say is longer than `context` by far.
        """
        text = self._text(self._messages, begins=self._begins, continues=self._continues)
        if context is not None:
            readable(text, self._model, context)
        tokens = valid_prompt(self._encode(text), self._model, "messages")
        read = self._text(self._messages, begins=False) if self._begins else text
        too_long = context is not None and len(tokens) >= context
        snapshots = () if self._model.divisible or too_long else self._snapshots(tokens, read)
        opening = text[len(read) :] if text.startswith(read) else ""
        return Prompt(tokens, "reasoning" if self._thinks(opening) else "content", snapshots)

    def _thinks(self, opening: str) -> bool:
        """Whether the template has opened the reasoning already; what a user writes does not count."""
        if not self._tokenizer.has_thinking:
            return False
        return opening.rfind(self._tokenizer.think_start) > opening.rfind(self._tokenizer.think_end)

    def _snapshots(self, tokens: Sequence[int], read: str) -> tuple[int, ...]:
        """Where later requests are likely to part from this one: after the system's messages, and after the user's."""
        system = []
        for message in self._messages:
            if message["role"] != "system":
                break
            system.append(message)
        texts = [read]
        if system:
            with suppress(BadRequest):
                texts.append(self._text([*system, {"role": "user", "content": ""}], begins=False))
        lengths = {_common(tokens, self._encode(text)) for text in texts}
        return tuple(sorted(length for length in lengths if 0 < length < len(tokens)))

    def _text(self, messages: Sequence[dict[str, Any]], *, begins: bool, continues: bool = False) -> str:
        asked = {"continue_final_message": True} if continues else {}
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=begins, **asked, **self._variables
                )
            )
        except REFUSALS as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", "messages") from error

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=self._special))

    def _message(self, given: Mapping[str, Any]) -> dict[str, Any]:
        message = {name: value for name, value in dict(given).items() if value is not None}
        message["content"] = _content(message.get("content"))
        # Templates that do not know the newer name would leave the message out.
        if message["role"] == "developer" and "developer" not in str(self._tokenizer.chat_template):
            message["role"] = "system"
        if message.get("reasoning") is not None:
            message["reasoning_content"] = message["reasoning"]
        if message.get("tool_calls") is not None:
            message["tool_calls"] = [_call(call) for call in message["tool_calls"]]
        return message


def _variables(request: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the request says to the template."""
    found: dict[str, Any] = {}
    effort = getattr(request, "reasoning_effort", None)
    if effort is not None:
        found |= {"reasoning_effort": effort, "enable_thinking": effort != "none"}
    if getattr(request, "documents", None) is not None:
        found["documents"] = request.documents
    if request.tools and getattr(request, "tool_choice", "auto") != "none":
        found["tools"] = [tool.model_dump(exclude_none=True) for tool in request.tools]
    own = request.chat_template_kwargs or {}
    if reserved := sorted(RESERVED & own.keys()):
        raise BadRequest(f"chat_template_kwargs: {', '.join(reserved)} cannot be set there", "chat_template_kwargs")
    return found | own


def _content(content: Any) -> str:  # noqa: ANN401
    """The text of a message, whose parts stand on lines of their own, as with vLLM."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text")
        if text is None or (not isinstance(part, str) and part.get("type", "text") not in ("text", "input_text")):
            kind = "something else" if isinstance(part, str) else part.get("type")
            raise BadRequest(f"messages: this model reads text only, not {kind}", "messages")
        texts.append(str(text))
    return "\n".join(texts)


def _call(given: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool with its arguments as templates want them: not as a string."""
    call = dict(given)
    function = dict(call.get("function") or {})
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"] or "{}")
        except ValueError as error:
            raise BadRequest(f"messages: the arguments of a tool call are not JSON: {error}", "messages") from error
    return {**call, "function": function}


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    size = min(len(left), len(right))
    return next((place for place in range(size) if left[place] != right[place]), size)
