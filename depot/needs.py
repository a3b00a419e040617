"""What an inventory needs of the depot, read without asking anybody and without judging the rest of its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depot.errors import DepotError
from depot.known import Known
from fleet.checks import Findings
from fleet.errors import Code, SettingsError
from fleet.manifest import manifest_path, read_manifest
from fleet.model_source import at_commit
from fleet.origin import Origin, origin
from fleet.raw import Entry, RawFleet, RawMac, read_raw
from fleet.release import Release, read_release
from fleet.settings import FLEET_SETTINGS, MAC_SETTINGS
from fleet.values import shown, stand_in, typed


@dataclass(frozen=True)
class Needs:
    """What one inventory's locks and models name."""

    inventory: str
    depot: Path
    releases: tuple[Release, ...]
    models: tuple[tuple[Origin, str | None], ...]
    """Source and revision of each."""

    def objects(self) -> set[str]:
        """sha256 of every object that may be one of them, or a program out of one.

        Raises DepotError when the depot's own list of a model's files cannot be read.
        """
        needed = set()
        for release in self.releases:
            needed |= {file.sha256 for file in (*release.conda, *release.tools)}
            needed |= {sha256 for wheel in release.wheels for sha256 in wheel.sha256s}
        needed |= Known(self.depot).programs_of(needed)
        for source, revision in self.models:
            path = manifest_path(self.depot, source, revision)
            manifest = read_manifest(self.depot, source, revision)
            if path.exists() and not manifest:
                raise DepotError(f"{path} cannot be read, so nobody knows which objects {source} needs. Remove it.")
            needed |= {file.sha256 for file in manifest.files} if manifest else set()
        return needed

    def manifests(self) -> set[Path]:
        """The files that describe its models."""
        return {manifest_path(self.depot, *model) for model in self.models}


class UnreadableError(Exception):
    """An inventory whose needs are not known, with everything that is wrong; `depot` is its depot, if that is known."""

    def __init__(self, problem: SettingsError, depot: Path | None) -> None:
        super().__init__(str(problem))
        self.depot = depot


def read_needs(inventory: Path, root: Path) -> Needs | None:
    """Reads an inventory and its group_data; None when it has none of raylab's groups.

    Relative paths in the settings count from `root`. Raises UnreadableError.
    """
    raw = read_raw(inventory, root)
    findings = Findings(raw.inventory, list(raw.problems))
    _stop(findings, None)
    if not raw.ours:
        return None
    reading = _Reading(raw, root, findings)
    depot = reading.depot()
    _stop(findings, None)
    releases = tuple(reading.release(folder) for folder in dict.fromkeys(map(reading.locks, raw.macs)))
    models = reading.models()
    _stop(findings, depot)
    return Needs(raw.inventory, depot, tuple(release for release in releases if release), models)


def _stop(findings: Findings, depot: Path | None) -> None:
    if findings.problems:
        raise UnreadableError(SettingsError(findings.problems), depot)


@dataclass(frozen=True)
class _Reading:
    """Takes single settings out of an inventory; what is wrong with them goes into `findings`."""

    raw: RawFleet
    root: Path
    findings: Findings

    def depot(self) -> Path:
        entry = self._first("depot")
        setting = FLEET_SETTINGS["depot"]
        if entry is None:
            return Path(str(stand_in(setting, self.root)))
        return Path(str(typed(setting, entry.value, self.root, self.findings.at(entry.where, "", "depot"))))

    def locks(self, mac: RawMac) -> Path:
        values = {}
        for name in ("platform", "locks"):
            if entry := mac.data.get(name):
                report = self.findings.at(entry.where, mac.name, name)
                values[name] = typed(MAC_SETTINGS[name], entry.value, self.root, report)
        platform = values.get("platform", MAC_SETTINGS["platform"].default)
        return Path(str(values.get("locks", self.root / "locks" / str(platform))))

    def release(self, locks: Path) -> Release | None:
        try:
            return read_release(locks, self.findings.path(locks, self.root))
        except SettingsError as problem:
            self.findings.problems += problem.problems
            return None

    def models(self) -> tuple[tuple[Origin, str | None], ...]:
        entry = self._first("models")
        written = entry.value if entry else ()
        found = []
        for model in written if isinstance(written, (list, tuple)) else [written]:
            if isinstance(model, Mapping) and "llm_config" in model:
                continue  # its weights are on the Macs already
            source = model.get("source") if isinstance(model, Mapping) else None
            revision = model.get("revision") if isinstance(model, Mapping) else None
            read = origin(str(source), self.root) if isinstance(source, (str, Path)) else None
            if entry and (read is None or not isinstance(revision, str | None)):
                report = self.findings.at(entry.where, "", "models")
                report(Code.SETTING_TYPE, shown(model), "Give each model its source.", "a model with a source")
            elif read and isinstance(model, Mapping):
                found += [(read, revision), *self._adapters(model)]
        return tuple(found)

    def _adapters(self, model: Mapping[str, Any]) -> Iterator[tuple[Origin, str | None]]:
        adapters = model.get("adapters")
        for written in adapters.values() if isinstance(adapters, Mapping) else ():
            text, commit = at_commit(str(written))
            if read := origin(text, self.root):
                yield read, commit

    def _first(self, name: str) -> Entry | None:
        return self.raw.macs[0].data.get(name) if self.raw.macs else None
