"""The setting `models`: each entry checked, its folder read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from fleet.checks import Findings
from fleet.errors import Code
from fleet.raw import Entry, shorten
from fleet.settings import ENGINES, MODEL_SETTINGS, Model
from fleet.values import Report, nearest, shown, stand_in, typed
from fleet.weights import Weights, read_weights

_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
# Serve and the plan set these; a second value would be silently lost or refused late, on a Mac.
_DECIDED = {
    "model": "`source` says it",
    "served_model_name": "`id` says it",
    "max_model_len": "`context` says it",
    "max_num_seqs": "`concurrency` says it",
    "tensor_parallel_size": "each Mac holds the whole model",
    "pipeline_parallel_size": "each Mac holds the whole model",
}


def read_models(entry: Entry | None, macs: int, root: Path, findings: Findings) -> tuple[Model, ...]:
    """The models that are right; what is wrong with the others goes into `findings`."""
    if entry is None:
        return ()
    if not isinstance(entry.value, (list, tuple)):
        report = findings.at(entry.where, "", "models")
        report(
            Code.SETTING_TYPE,
            shown(entry.value),
            'For example [{"id": "tiny", "source": "…"}].',
            "a list of dicts",
        )
        return ()
    read = [_Entry(entry, index, findings).model(root) for index in range(len(entry.value))]
    _check_ids(entry, findings)
    models = tuple(model for model in read if model is not None)
    _check_replicas(entry, models, macs, findings)
    return models


class _Entry:
    """One dict of the list."""

    def __init__(self, models: Entry, index: int, findings: Findings) -> None:
        assert isinstance(models.value, (list, tuple))
        self.models, self.index, self.findings = models, index, findings
        self.written: Any = models.value[index]
        self.right = True

    def report(self, *path: str) -> Report:
        """Report at one key of this model."""
        name = ".".join((f"models[{self.index}]", *path))
        report = self.findings.at(lambda: self.models.where(self.index, *path), "", name)

        def and_remember(code: Code, given: str, fix: str, other: str = "") -> None:
            self.right = False
            report(code, given, fix, other)

        return and_remember

    def model(self, root: Path) -> Model | None:
        """The model, or None when something is wrong with it."""
        if not isinstance(self.written, Mapping):
            example = 'For example {"id": "tiny", "source": "…"}.'
            self.report()(Code.SETTING_TYPE, shown(self.written), example, "a dict")
            return None
        for key in self.written:
            if key not in MODEL_SETTINGS:
                known = f"The settings of a model are {', '.join(MODEL_SETTINGS)}."
                self.report(str(key))(Code.SETTING_UNKNOWN, f"`{key}`", nearest(str(key), MODEL_SETTINGS, known))
        values: dict[str, Any] = {name: self._value(name, root) for name in MODEL_SETTINGS}
        self._check_engine(values)
        weights = self._weights(values["source"], root)
        longest = weights.longest_context
        if longest and "context" not in self.written:
            values["context"] = min(values["context"], longest)
        self._check_context(values["context"], longest)
        return Model(weights=weights, **values) if self.right else None

    def _value(self, name: str, root: Path) -> object:
        setting = MODEL_SETTINGS[name]
        if name in self.written:
            return typed(setting, self.written[name], root, self.report(name))
        if setting.default is MISSING and setting.default_factory is MISSING:
            given = shown(self.written["id"]) if "id" in self.written else f"number {self.index + 1}"
            self.report()(Code.MODEL_INCOMPLETE, given, f"For example {setting.metadata['example']}.", f"`{name}`")
        return stand_in(setting, root)

    def _check_engine(self, values: dict[str, Any]) -> None:
        if values["id"] and isinstance(values["id"], str) and not _MODEL_ID.fullmatch(values["id"]):
            fix = "Use letters, digits, dots, hyphens and at most one slash."
            self.report("id")(Code.MODEL_ID_INVALID, shown(values["id"]), fix)
        if isinstance(values["engine"], str) and values["engine"] not in ENGINES:
            fix = nearest(values["engine"], ENGINES, f"There is {', '.join(ENGINES)}.")
            self.report("engine")(Code.ENGINE_UNKNOWN, shown(values["engine"]), fix)
        kwargs = values["engine_kwargs"]
        for name in kwargs if isinstance(kwargs, Mapping) else ():
            if name in _DECIDED:
                fix = f"Remove it: {_DECIDED[name]}."
                self.report("engine_kwargs", name)(Code.ENGINE_ARGUMENT, f"`{name}`", fix)

    def _weights(self, source: object, root: Path) -> Weights:
        if not isinstance(source, Path):
            return Weights()
        name = shorten(source, root)
        lab = ".lab" in source.parts
        report = self.report("source")
        if not source.is_dir():
            fix = "Run `make lab`, which makes it." if lab else "Name the folder that holds the model's files."
            report(Code.SOURCE_MISSING, name, fix)
            return Weights()
        try:
            weights = read_weights(source)
        except (OSError, ValueError) as error:
            report(Code.SOURCE_INCOMPLETE, name, f"Reading it says: {error}.", "model that can be read")
            return Weights()
        if weights.config is None:
            report(Code.SOURCE_INCOMPLETE, name, "Copy the whole model folder.", "config.json")
        if not weights.tensor_bytes:
            report(Code.SOURCE_INCOMPLETE, name, "Only weights in that format are served.", "*.safetensors")
        return weights

    def _check_context(self, context: object, longest: int | None) -> None:
        if isinstance(context, int) and longest and context > longest:
            self.report("context")(Code.CONTEXT_TOO_LONG, str(context), f"Set it to {longest} or less.", str(longest))


def _check_ids(entry: Entry, findings: Findings) -> None:
    assert isinstance(entry.value, (list, tuple))
    seen = set()
    for index, model in enumerate(entry.value):
        model_id = model.get("id") if isinstance(model, Mapping) else None
        if not isinstance(model_id, str):
            continue
        if model_id in seen:
            report = findings.at(lambda index=index: entry.where(index, "id"), "", f"models[{index}].id")
            report(Code.MODEL_TWICE, shown(model_id), "Clients ask for a model by its id: give each its own.")
        seen.add(model_id)


def _check_replicas(entry: Entry, models: tuple[Model, ...], macs: int, findings: Findings) -> None:
    """A Mac holds one replica: the models' replicas together are no more than the Macs."""
    counted = [model for model in models if model.replicas != "all"]
    total = sum(model.replicas for model in counted if model.replicas != "all")
    # Each model for which all remaining Macs are asked needs at least one of them.
    needed = total + len(models) - len(counted)
    if macs and needed > macs:
        index = len(models) - 1
        path = (index, "replicas")
        report = findings.at(lambda: entry.where(*path), "", f"models[{index}].replicas")
        have = "is 1 Mac" if macs == 1 else f"are {macs} Macs"
        report(Code.REPLICAS_TOO_MANY, str(needed), "A Mac holds one replica: ask for fewer, or add Macs.", have)
