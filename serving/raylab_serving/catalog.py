"""The models of the fleet, the names that clients may ask for, and what each stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from raylab_serving.errors import ApiError


@dataclass(frozen=True)
class Model:
    """What the entry knows of a model, as the fleet's settings say it."""

    id: str
    application: str
    """Serve's name for the application that the model is, and for its deployment."""
    deployment: str
    aliases: Sequence[str] = ()
    adapters: Sequence[str] = ()
    max_tokens: int | None = None
    """How long an answer may get that was asked for without a limit."""
    context: int | None = None
    """How many tokens a prompt and its answer may have together."""


@dataclass(frozen=True)
class Served:
    """What a name stands for."""

    name: str
    """As clients ask for it; answers carry it as their model."""
    model: Model
    """The model whose replicas answer."""
    known_as: str
    """What those replicas call it: the model's own id, or an adapter's name."""

    @property
    def is_alias(self) -> bool:
        """Whether the replicas would answer under another name."""
        return self.name != self.known_as

    @property
    def is_adapter(self) -> bool:
        """Whether this is the model with a LoRA adapter."""
        return self.known_as != self.model.id


class Catalog:
    """Models, their aliases and their adapters, in the order of the settings."""

    def __init__(self, models: Iterable[Model] = ()) -> None:
        self.models = tuple(models)
        self._served: dict[str, Served] = {}
        for model in self.models:
            self._add(Served(model.id, model, model.id))
            for alias in model.aliases:
                self._add(Served(alias, model, model.id))
            for adapter in model.adapters:
                self._add(Served(adapter, model, adapter))

    def _add(self, served: Served) -> None:
        self._served.setdefault(served.name, served)

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def get(self, name: str) -> Served | None:
        """What the name stands for; None when it is not known."""
        return self._served.get(name)

    def find(self, name: str | None) -> Served:
        """What a request stands for that asks for this name, or for none where there is but one model.

        Raises ApiError: 404 for an unknown name, 400 for none.
        """
        if name is None and len(self.models) == 1:
            return self._served[self.models[0].id]
        known = ", ".join(self._served)
        if name is None:
            message = f"The request names no model. There are: {known}"
            raise ApiError(400, message, code="missing_required_parameter", param="model")
        served = self._served.get(name)
        if served is None:
            message = f'The model "{name}" does not exist. There are: {known}'
            raise ApiError(404, message, code="model_not_found", param="model")
        return served
