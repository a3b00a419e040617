"""From tokens to text, and the tokens that begin another kind of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["content", "reasoning", "tool"]

# Tokens of the prompt before an answer: some tokenizers write a word differently at the beginning of a text.
BEFORE = 6
# What gpt-oss begins each message with.
CHANNEL = "<|channel|>"
# What stands for bytes that are no whole character yet.
INCOMPLETE = "\ufffd"


@dataclass(frozen=True)
class Marker:
    """Tokens that begin another kind of text, and the text they stand for."""

    tokens: tuple[int, ...]
    text: str
    begins: Kind


Markers = Mapping[Kind, tuple[Marker, ...]]
"""What may follow on each kind of text."""


def markers(tokenizer: Any, *, tools: bool) -> Markers:  # noqa: ANN401
    """Those of a model, as mlx-lm knows it. Without `tools` in a request, what looks like a call is text."""
    found: dict[Kind, list[Marker]] = {"content": [], "reasoning": [], "tool": []}
    channel = tokenizer.convert_tokens_to_ids(CHANNEL)
    if channel is not None and tokenizer.convert_ids_to_tokens(channel) == CHANNEL:
        found |= _harmony(tokenizer)
    elif tokenizer.has_thinking:
        found["content"].append(Marker(tuple(tokenizer.think_start_tokens), tokenizer.think_start, "reasoning"))
        found["reasoning"].append(Marker(tuple(tokenizer.think_end_tokens), tokenizer.think_end, "content"))
    if tools and tokenizer.has_tool_calling:
        start = Marker(tuple(tokenizer.tool_call_start_tokens), tokenizer.tool_call_start, "tool")
        end = Marker(tuple(tokenizer.tool_call_end_tokens), tokenizer.tool_call_end, "content")
        found["content"].append(start)
        # Where calls have no end of their own, the next one ends them.
        found["tool"].append(end if end.tokens else start)
    return {kind: tuple(some) for kind, some in found.items()}


def _harmony(tokenizer: Any) -> dict[Kind, list[Marker]]:  # noqa: ANN401
    """Of gpt-oss, whose messages stand in channels; mlx-lm 0.31.3 would show its reasoning as the answer."""

    def marker(text: str, begins: Kind) -> Marker:
        return Marker(tuple(tokenizer.encode(text, add_special_tokens=False)), text, begins)

    channels: dict[str, Kind] = {"analysis": "reasoning", "commentary": "content", "final": "content"}
    first = [marker(f"{CHANNEL}{name}<|message|>", kind) for name, kind in channels.items()]
    next_ = [marker(f"<|end|><|start|>assistant{one.text}", one.begins) for one in first]
    return {"content": [*first, *next_], "reasoning": next_, "tool": []}


class Detokenizer:
    """Text of tokens, one by one. What is shown is never taken back: incomplete characters wait.

    mlx-lm's own drops a space at the beginning of an answer and shows special tokens.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int], *, skip_special: bool) -> None:  # noqa: ANN401
        self._tokenizer = tokenizer
        self.skip_special = skip_special
        """Whether special tokens are left out from here on."""
        self._tokens = list(before[-BEFORE:])
        # Text is shown up to _shown; _start is where the part begins that is decoded again with each token.
        self._start, self._shown = 0, len(self._tokens)

    def add(self, token: int) -> str:
        """The text that this token completes."""
        self._tokens.append(token)
        text = self._new()
        if not text or text.endswith(INCOMPLETE):
            return ""
        self._start, self._shown = self._shown, len(self._tokens)
        return text

    def pass_over(self, tokens: Sequence[int]) -> str:
        """What was incomplete; the tokens themselves are not shown."""
        text = self.flush()
        self._tokens += tokens
        self._start, self._shown = self._shown, len(self._tokens)
        return text

    def flush(self) -> str:
        """What was incomplete, as far as it can be read."""
        text = self._new()
        self._start, self._shown = self._shown, len(self._tokens)
        return text

    def _new(self) -> str:
        known = self._text(self._tokens[self._start : self._shown])
        return self._text(self._tokens[self._start :])[len(known) :]

    def _text(self, tokens: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(tokens, skip_special_tokens=self.skip_special, clean_up_tokenization_spaces=False)
        )
