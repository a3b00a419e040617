"""The setting `models`: each entry checked, its files looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet.adapters import faults
from fleet.checks import Findings
from fleet.engines import check_engine
from fleet.errors import Code, Problem, SettingsError
from fleet.items import Item, items
from fleet.model_config import BESIDE, check_serve, macs_in, read_config, replicas_in
from fleet.model_names import check_names
from fleet.model_source import MODEL_FILES, Shelf, check_revision, read_adapter
from fleet.raw import Entry, RawFleet
from fleet.settings import MODEL_SETTINGS, Fleet, Mac, Model
from fleet.values import nearest, shown
from fleet.weights import Weights


def read_models(
    entry: Entry | None, raw: RawFleet, macs: Sequence[Mac], depot: Path, root: Path, findings: Findings
) -> tuple[Model, ...]:
    """The models that are right; what is wrong with the others goes into `findings`.

    What `depot` knows of a source that is not here counts; of others the weights stay empty, until `completed` fills
    them in. Relative paths count from `root`.
    """
    every = items("models", entry, '{"id": "tiny", "source": "…"}', findings)
    shelf = Shelf(tuple(mac.name for mac in raw.macs), depot, root, has_metal(macs))
    read = [_Reading(item, raw.groups, shelf).model() for item in every]
    check_names(every, [model.id for model in read])
    return tuple(model for item, model in zip(every, read, strict=True) if item.right)


def completed(fleet: Fleet, weights: Mapping[str, Weights]) -> Fleet:
    """The fleet with what became known of its models and adapters since it was read, by their ids.

    A context that nobody chose becomes no longer than the model allows. Raises SettingsError for one that is, and for
    an adapter that cannot be served.
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
        adapters = tuple(replace(each, weights=weights.get(each.id, each.weights)) for each in model.adapters)
        for each in adapters:
            field, given = f"models[{index}].adapters.{each.id}", str(each.source)
            found_faults = faults(each.weights, has_metal(fleet.macs))
            problems += [Problem(Code.ADAPTER_UNFIT, "", "", field, given, fix, what) for what, fix in found_faults]
        models.append(replace(model, weights=found, context=context, adapters=adapters))
    if problems:
        raise SettingsError(problems)
    return replace(fleet, models=tuple(models))


def has_metal(macs: Iterable[Mac]) -> bool:
    """Whether some of them run vllm-metal."""
    return any(mac.platform == "osx-arm64" for mac in macs)


class _Reading:
    """One dict of the list becomes a Model."""

    def __init__(self, item: Item, groups: Mapping[str, tuple[str, ...]], shelf: Shelf) -> None:
        self.item, self.groups, self.shelf = item, groups, shelf
        self.written: Mapping[str, Any] = item.written
        self.report = item.report

    def model(self) -> Model:
        """The model as far as it is right; what is not has been reported."""
        whole = "llm_config" in self.written
        optional = frozenset({"id", "source"} if whole else ())
        values = self.item.values(MODEL_SETTINGS, self.shelf.root, Code.MODEL_INCOMPLETE, optional)
        values["macs"] = self._macs(values["macs"])
        if whole:
            return self._of_config(values)
        written, values["source"] = values["source"], None
        if written:
            values["source"] = self.shelf.origin(str(written), self.report("source"))
        weights = Weights()
        if source := values["source"]:
            if isinstance(self.written.get("revision", ""), (str, type(None))):  # else it was reported
                check_revision(source, values["revision"], self.report("revision"))
            weights = self.shelf.weights(source, values["revision"], MODEL_FILES, self.report("source"))
        values["context"] = self._context(values["context"], weights.longest_context)
        adapters = [
            read_adapter(name, str(source), values["private"], self.shelf, self.report("adapters", name))
            for name, source in dict(values["adapters"]).items()
        ]
        values["adapters"] = tuple(adapter for adapter in adapters if adapter)
        model = Model(weights=weights, template=self._template(values["chat_template"]), **values)
        check_engine(model, self.report)
        check_serve(model.serve, model.replicas, self.report)
        self._check_replicas(model)
        return model

    def _of_config(self, values: dict[str, Any]) -> Model:
        """A model of the file llm_config."""
        for key in self.written:
            if key in MODEL_SETTINGS and key not in BESIDE:
                beside = f"Remove it: write it into the file. Only {', '.join(BESIDE[1:])} may stand here."
                self.report(str(key))(Code.LLM_CONFIG_BESIDE, f"`{key}`", beside)
        if "memory_gb" not in self.written:
            fix = "The plan cannot work it out of the file: for example 24.5."
            self.report()(Code.MODEL_INCOMPLETE, self.item.title, fix, "`memory_gb`")
        config = None
        if isinstance(values["llm_config"], Path):
            config = read_config(values["llm_config"], str(self.written["llm_config"]), self.report)
        config = config or {}
        loading = config.get("model_loading_config")
        named = loading.get("model_id") if isinstance(loading, Mapping) else None
        if values["id"] and named not in (None, values["id"]):
            fix = "Remove it, or make both the same."
            self.report("id")(Code.SETTING_DIFFERS, shown(values["id"]), fix, f"{shown(named)} in the file")
        macs = len(values["macs"] or self.shelf.macs)
        kept = {name: values[name] for name in ("macs", "memory_gb", "llm_config")}
        shape = macs_in(config)
        model = Model(
            id=named if isinstance(named, str) else values["id"],
            source=None,
            shape="replica" if shape == 1 else shape,
            replicas=replicas_in(config, macs),
            config=config,
            **kept,
        )
        self._check_replicas(model)
        return model

    def _macs(self, written: str | tuple[str, ...]) -> tuple[str, ...]:
        """The names of the Macs that are meant, in the inventory's order; none for all of them."""
        found = self._named_macs(written)
        empty = self.written.get("macs") in ([], ()) or (isinstance(written, str) and written in self.groups)
        if empty and not found:
            fix = "Remove it to let the model run everywhere, or name a Mac."
            self.report("macs")(Code.MACS_NONE, shown(self.written["macs"]), fix)
        return found

    def _named_macs(self, written: str | tuple[str, ...]) -> tuple[str, ...]:
        macs = self.shelf.macs
        if isinstance(written, str):
            if written not in macs:
                if written not in self.groups:
                    fix = nearest(written, [*self.groups, *macs], f"There are {', '.join(self.groups)}.")
                    self.report("macs")(Code.MAC_UNKNOWN, shown(written), fix, "group or Mac")
                return tuple(name for name in macs if name in self.groups.get(written, ()))
            written = (written,)
        for name in written:
            if name not in macs:
                fix = "Write the group alone, not in a list." if name in self.groups else ""
                fix = fix or nearest(name, macs, f"There are {', '.join(macs)}.")
                self.report("macs")(Code.MAC_UNKNOWN, shown(name), fix, "Mac")
        return tuple(name for name in macs if name in written)

    def _context(self, context: int, longest: int | None) -> int:
        """The context; one that nobody chose is no longer than the model allows."""
        if not longest or context <= longest:
            return context
        if self.written.get("context") == context:
            self.report("context")(Code.CONTEXT_TOO_LONG, str(context), f"Set it to {longest} or less.", str(longest))
        return longest

    def _template(self, path: Path | None) -> str:
        """The text of chat_template."""
        if path is None:
            return ""
        given, report = str(self.written["chat_template"]), self.report("chat_template")
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            report(Code.FILE_LACKING, given, "Name a Jinja file on this machine.")
            return ""
        except (OSError, ValueError) as error:
            report(Code.FILE_UNFIT, given, "Correct the file.", str(error))
            return ""
        if not text.strip() or not any(sign in text for sign in "{}\n"):
            report(Code.FILE_UNFIT, given, "Name a file with a Jinja template.", "it holds no template")
        return text

    def _check_replicas(self, model: Model) -> None:
        """No more Macs are asked for than the model may have."""
        shape_at, replicas_at = ("llm_config", "llm_config") if model.config is not None else ("shape", "replicas")
        macs = len(model.macs or self.shelf.macs)
        have = "is 1 Mac" if macs == 1 else f"are {macs} Macs"
        where = f"{have} in its `macs`" if model.macs else have
        shape = model.shape if isinstance(model.shape, int) else 1
        if macs and shape > macs:
            given = f"groups of {shape} Macs"
            self.report(shape_at)(Code.REPLICAS_TOO_MANY, given, "Make the group smaller, or add Macs.", where)
            return
        replicas = model.replicas
        if isinstance(replicas, dict):
            if replicas["min"] > replicas["max"]:
                fix = "Make min the smaller one."
                self.report("replicas")(Code.REPLICAS_ORDER, str(replicas["min"]), fix, str(replicas["max"]))
                return
            replicas = replicas["max"]
        if macs and isinstance(replicas, int) and replicas * shape > macs:
            given = f"{replicas} replicas" if shape == 1 else f"{replicas} groups of {shape} Macs"
            fix = "A Mac holds a model once: ask for fewer, or add Macs."
            self.report(replicas_at)(Code.REPLICAS_TOO_MANY, given, fix, where)
