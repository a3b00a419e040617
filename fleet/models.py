"""The setting `models`: each entry checked, its folder read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, replace
from pathlib import Path
from typing import Any

from fleet.checks import Findings
from fleet.errors import Code, Problem, SettingsError
from fleet.manifest import lacking, read_manifest
from fleet.origin import COMMIT, Folder, MacFolder, Origin, Repository, origin
from fleet.raw import Entry
from fleet.settings import ENGINES, MODEL_SETTINGS, Fleet, Model
from fleet.values import Report, nearest, shown, stand_in, typed
from fleet.weights import Weights, read_weights

_PAGE = re.compile(r"https?://(?:huggingface\.co|hf\.co)/([^/]+/[^/]+).*")
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


def read_models(
    entry: Entry | None, macs: Sequence[str], depot: Path, root: Path, findings: Findings
) -> tuple[Model, ...]:
    """The models that are right; what is wrong with the others goes into `findings`.

    `macs` are the names of the inventory. What `depot` knows of a source that is not here counts; of others the
    weights stay empty, until `completed` fills them in.
    """
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
    read = [_Entry(entry, index, macs, depot, findings).model(root) for index in range(len(entry.value))]
    _check_ids(entry, findings)
    models = tuple(model for model in read if model is not None)
    _check_replicas(entry, models, len(macs), findings)
    return models


def completed(fleet: Fleet, weights: Mapping[str, Weights]) -> Fleet:
    """The fleet with what became known of its models since it was read, by their ids.

    A context that nobody chose becomes no longer than the model allows. Raises SettingsError for one that is.
    """
    models, problems = [], []
    for index, model in enumerate(fleet.models):
        found = weights.get(model.id, model.weights)
        longest, context = found.longest_context, model.context
        if longest and context > longest:
            if context == MODEL_SETTINGS["context"].default:
                context = longest
            else:
                fix = f"Set it to {longest} or less."
                field = f"models[{index}].context"
                problems.append(Problem(Code.CONTEXT_TOO_LONG, "", "", field, str(context), fix, str(longest)))
        models.append(replace(model, weights=found, context=context))
    if problems:
        raise SettingsError(problems)
    return replace(fleet, models=tuple(models))


class _Entry:
    """One dict of the list."""

    def __init__(self, models: Entry, index: int, macs: Sequence[str], depot: Path, findings: Findings) -> None:
        assert isinstance(models.value, (list, tuple))
        self.models, self.index, self.findings = models, index, findings
        self.macs, self.depot = macs, depot
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
        values["source"] = source = self._source(values["source"], root)
        weights = self._weights(source, values["revision"]) if source else Weights()
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

    def _source(self, written: object, root: Path) -> Origin | None:
        """Where the files come from; None when that is not said, or wrong."""
        if not written:
            return None
        found, revision = origin(str(written), root), self.written.get("revision")
        report = self.report("source")
        if found is None:
            page = _PAGE.fullmatch(str(written))
            fix = f'Write "hf:{page[1]}".' if page else 'Write a folder, "hf:OWNER/NAME", or "@mac/NAME:/FOLDER".'
            report(Code.SOURCE_INVALID, shown(str(written)), fix)
        elif isinstance(found, MacFolder) and found.mac not in self.macs:
            report(Code.SOURCE_MAC, found.mac, nearest(found.mac, self.macs, f"There are {', '.join(self.macs)}."))
        elif isinstance(found, Repository):
            self._check_revision(found, revision)
        elif revision is not None:
            self.report("revision")(Code.REVISION_UNUSED, str(found), "Remove it.")
        return found

    def _check_revision(self, source: Repository, revision: object) -> None:
        report = self.report("revision")
        fix = f"{source.page}/commits/main shows them; `hf models info {source.name}` prints the newest as sha."
        if revision is None:
            report(Code.REVISION_MISSING, str(source), f'Write "revision": "…", the 40 hex digits of a commit. {fix}')
        elif isinstance(revision, str) and not COMMIT.fullmatch(revision):
            report(Code.REVISION_INVALID, shown(revision), fix, str(source))

    def _weights(self, source: Origin, revision: object) -> Weights:
        known = read_manifest(self.depot, source, revision if isinstance(revision, str) else None)
        if not isinstance(source, Folder):
            return known.weights if known else Weights()
        if source.path.is_dir():
            return self._read(source)
        missing = lacking(self.depot, known.files) if known else []
        if known and not missing:
            return known.weights
        fix = "Name the folder that holds the model's files, or a repository as hf:OWNER/NAME."
        if missing:
            fix = f"Put it back: of its files, the depot lacks {', '.join(file.path for file in missing)}."
        elif ".lab" in source.path.parts:
            fix = "Run `make lab`, which makes it."
        self.report("source")(Code.SOURCE_MISSING, str(source), fix)
        return Weights()

    def _read(self, source: Folder) -> Weights:
        """What a folder on this machine holds."""
        report = self.report("source")
        try:
            weights = read_weights(source.path)
        except (OSError, ValueError) as error:
            report(Code.SOURCE_INCOMPLETE, str(source), f"Reading it says: {error}.", "model that can be read")
            return Weights()
        if weights.config is None:
            report(Code.SOURCE_INCOMPLETE, str(source), "Copy the whole model folder.", "config.json")
        if not weights.tensor_bytes:
            report(Code.SOURCE_INCOMPLETE, str(source), "Only weights in that format are served.", "*.safetensors")
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
