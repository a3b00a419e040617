"""The names that clients may ask for, and what each stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raylab_serving.errors import ApiError


@dataclass(frozen=True)
class Served:
    """What a name stands for."""

    name: str
    """As clients ask for it; answers carry it as their model."""
    model: str
    """The model whose replicas answer."""
    known_as: str
    """What those replicas call it: the model's own id, or an adapter's name."""
    max_tokens: int | None = None
    """How long an answer may get that was asked for without a limit."""

    @property
    def is_alias(self) -> bool:
        """Whether the replicas would answer under another name."""
        return self.name != self.known_as

    @property
    def is_adapter(self) -> bool:
        """Whether this is the model with a LoRA adapter."""
        return self.known_as != self.model


class Catalog:
    """Models by id, their aliases and their adapters, in the order of the settings."""

    def __init__(self, ids: Iterable[str], settings: Mapping[str, Mapping[str, Any]]) -> None:
        self._served: dict[str, Served] = {}
        self._models = tuple(ids)
        for model in self._models:
            about = settings.get(model, {})
            limit = about.get("max_tokens")
            self._add(Served(model, model, model, limit))
            for alias in about.get("aliases") or ():
                self._add(Served(alias, model, model, limit))
            for adapter in about.get("adapters") or ():
                self._add(Served(adapter, model, adapter, limit))

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
        if name is None and len(self._models) == 1:
            return self._served[self._models[0]]
        known = ", ".join(self._served)
        if name is None:
            message = f"The request names no model. There are: {known}"
            raise ApiError(400, message, code="missing_required_parameter", param="model")
        served = self._served.get(name)
        if served is None:
            message = f'The model "{name}" does not exist. There are: {known}'
            raise ApiError(404, message, code="model_not_found", param="model")
        return served
