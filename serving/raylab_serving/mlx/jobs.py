"""What passes between the requests' side and the engine: plain data, which the ranks of a ring send each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampling:
    """How the tokens of one sequence are chosen."""

    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    top_k: int = 0
    """0 leaves all tokens."""
    min_p: float = 0.0
    seed: int = 0
    """What the sequence's random numbers start from, whatever else runs beside it."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    allowed: tuple[int, ...] | None = None
    """The only tokens that may come; None allows all."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Sequences of tokens that may not come."""
    min_tokens: int = 0
    """Before so many tokens none of the job's ends may come."""


@dataclass(frozen=True)
class Job:
    """One sequence to generate."""

    prompt: tuple[int, ...]
    max_tokens: int
    ends: frozenset[int]
    """Tokens that end it; such a token is still reported."""
    sampling: Sampling
    snapshots: tuple[int, ...] = ()
    """Lengths of the prompt at which its cache is worth keeping, ascending; for models whose caches cannot be cut."""
    logprobs: int | None = None
    """How many of the likeliest tokens are reported beside each; None reports no probabilities at all."""
    salt: str = ""
    """Prompts are only ever reused between jobs of the same salt."""
    request: str = ""
    """Whose it is: requests get places in turn, however many jobs each has."""


@dataclass(frozen=True)
class Produced:
    """One token of a job."""

    token: int
    finish: str | None
    """Why it is the last: "stop" after one of the job's ends, "length" at max_tokens."""
    cached: int
    """Tokens of the job's prompt that did not have to be read again."""
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens here and the logarithms of their probabilities, likeliest first."""
