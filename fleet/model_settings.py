"""What a person may write about one model, each with its meaning, unit, default and an example beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from fleet import layout
from fleet.origin import Origin
from fleet.weights import Weights


def doc(
    meaning: str,
    *,
    example: str,
    unit: str = "",
    low: int | None = None,
    high: int | None = None,
    written: object = None,
) -> dict[str, Any]:
    """What a setting means, and the bounds of its value (both allowed).

    `written` is the type that a person writes, where the value that becomes of it has another.
    """
    return {"doc": meaning, "example": example, "unit": unit, "low": low, "high": high, "written": written}


class Between(TypedDict):
    """As few and as many as that, as requests come."""

    min: int
    max: int


@dataclass(frozen=True)
class Stored:
    """Files that the Macs get: those of a model, or of an adapter."""

    id: str
    """The name clients ask for."""
    source: Origin
    revision: str | None = None
    """The commit of a repository on Hugging Face."""
    private: bool | None = None
    weights: Weights = field(default_factory=Weights)
    """What the source holds. Read from there, not written by a person; empty until then."""

    @property
    def path(self) -> str:
        """Where the files are on a Mac."""
        return layout.weights_dir(self.id, self.weights.revision)


@dataclass(frozen=True)
class Model:
    """One model that the fleet serves: an entry of the setting `models`."""

    id: str = field(metadata=doc("The name clients ask for.", example='"qwen3-8b"'))
    source: Origin | None = field(
        metadata=doc(
            "Where config.json, the tokenizer and *.safetensors are: a folder on the control machine; hf:OWNER/NAME, "
            "a repository on Hugging Face; or @mac/NAME:/FOLDER, a folder on a Mac of the fleet. What is not on the "
            "control machine is fetched to it once. None for a model of llm_config, which names its own.",
            example='"~/models/Qwen3-8B"',
            written=Origin,
        )
    )
    revision: str | None = field(
        default=None,
        metadata=doc(
            "Which commit of a repository on Hugging Face, by its 40 hex digits.",
            example='"b968826d9c46dd6066d109eabc6255188de91218"',
        ),
    )
    private: bool | None = field(
        default=None,
        metadata=doc(
            "True: nobody on the network may read the weights, so they travel encrypted, and slower. By default only "
            "those of a private repository do.",
            example="True",
        ),
    )
    aliases: tuple[str, ...] = field(
        default=(),
        metadata=doc("Further names that clients may ask for.", example='["gpt-4o"]'),
    )
    engine: str = field(
        default="vllm",
        metadata=doc(
            "What runs the model: vllm (vllm-metal on a Mac), or mlx (mlx-lm), which also spreads one model over "
            "several Macs.",
            example='"mlx"',
        ),
    )
    shape: int | Literal["replica", "group"] = field(
        default="replica",
        metadata=doc(
            '"replica": one Mac holds the model. "group": one Mac if it fits there, else the smallest group of Macs '
            "that holds it together. A whole number: a group of exactly so many Macs.",
            unit="Macs",
            example='"group"',
            low=2,
        ),
    )
    replicas: int | Literal["all"] | Between = field(
        default="all",
        metadata=doc(
            'How many Macs, or groups, hold the model. "all": every Mac that it fits. A dict: as few as min, and up to '
            "max when more requests come than those can work on.",
            example="2",
            low=1,
        ),
    )
    macs: tuple[str, ...] = field(
        default=(),
        metadata=doc(
            "Where the model may run: names of Macs, or the name of one group of the inventory. By default everywhere. "
            "A group is here as the names of its Macs.",
            example='["studio-1", "studio-2"]',
            written=tuple[str, ...] | str,
        ),
    )
    context: int = field(
        default=4096,
        metadata=doc(
            "The longest conversation, prompt and answer together; never more than the model was made for.",
            unit="tokens",
            example="32768",
            low=16,
        ),
    )
    concurrency: int = field(
        default=4,
        metadata=doc(
            "Requests that one Mac, or one group, works on at the same time.", unit="requests", example="16", low=1
        ),
    )
    queue: int = field(
        default=100,
        metadata=doc(
            "Requests that wait at each Mac that takes them, when all Macs with the model are busy. Who comes after "
            "that is told to come again, with status 503 and Retry-After.",
            unit="requests",
            example="20",
            low=1,
        ),
    )
    max_tokens: int | None = field(
        default=None,
        metadata=doc(
            "The longest answer to a request that names no length. By default the engine decides.",
            unit="tokens",
            example="2048",
            low=1,
        ),
    )
    memory_gb: float | None = field(
        default=None,
        metadata=doc(
            "Memory that the model takes on a Mac. By default worked out from weights and context.",
            unit="GB",
            example="24.5",
            low=0,
        ),
    )
    adapters: tuple[Stored, ...] = field(
        default=(),
        metadata=doc(
            "LoRA adapters, by the names that clients ask for: each is a source as above, with the commit behind an @ "
            "when it is a repository. Only vllm has them.",
            example='{"qwen3-8b-support": "~/adapters/support"}',
            written=dict[str, Origin],
        ),
    )
    chat_template: Path | None = field(
        default=None,
        metadata=doc(
            "A file with the Jinja template of a conversation, on the control machine. By default the model's own.",
            example='"templates/qwen3-no-think.jinja"',
        ),
    )
    env: dict[str, str] = field(
        default_factory=dict,
        metadata=doc("Environment variables of the engine.", example='{"VLLM_LOGGING_LEVEL": "DEBUG"}'),
    )
    engine_kwargs: dict[str, Any] = field(
        default_factory=dict,
        metadata=doc("Further arguments of the engine, by the engine's names.", example='{"enforce_eager": True}'),
    )
    serve: dict[str, Any] = field(
        default_factory=dict,
        metadata=doc(
            "What raylab has no setting for: keys of Ray Serve's LLMConfig, merged last into what raylab makes of the "
            "others.",
            example='{"deployment_config": {"health_check_period_s": 5}}',
        ),
    )
    llm_config: Path | None = field(
        default=None,
        metadata=doc(
            "A YAML file with a whole LLMConfig of Ray Serve, taken as it is. Beside it stand only id, macs and "
            "memory_gb.",
            example='"serve/qwen3-moe.yaml"',
        ),
    )
    weights: Weights = field(default_factory=Weights)
    """What the source holds. Read from there, not written by a person; empty until then."""
    template: str = field(default="", repr=False)
    """The text of chat_template."""
    config: Mapping[str, Any] | None = field(default=None, repr=False)
    """What llm_config holds; None without it."""

    @property
    def path(self) -> str:
        """Where the weights are on a Mac."""
        return layout.weights_dir(self.id, self.weights.revision)

    @property
    def stored(self) -> tuple[Stored, ...]:
        """The files that the Macs get for it: its weights, then its adapters'."""
        if self.source is None:
            return self.adapters
        return (Stored(self.id, self.source, self.revision, self.private, self.weights), *self.adapters)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name by which clients get this model, or it with an adapter."""
        return (self.id, *self.aliases, *(adapter.id for adapter in self.adapters))
