"""`python -m depot.bundle INVENTORY [OUTPUT.tar]`: all that one inventory needs, for a control machine without network.

It is one folder: the repository's tracked files, the inventory with its group_data, its locks and the files that its
settings name, the objects and models that it needs, the wheels of raylab's own environment, and setup-offline.sh.
Secrets and SSH keys stay here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from depot.errors import DepotError
from depot.fetch import fetch
from depot.models import gather
from depot.needs import Needs, UnreadableError, read_needs
from depot.objects import Objects
from depot.offline import Environment, environment
from depot.pack import Item, write_tar
from depot.progress import volume
from fleet.errors import SettingsError
from fleet.load import load
from fleet.raw import RawFleet, read_raw
from fleet.settings import Fleet

SETUP = Path(__file__).with_name("setup-offline.sh")
KEY_MARK = b"PRIVATE KEY-----"
# The settings of each model, and of each application, that name a file on the control machine.
FILES = {"models": ("chat_template", "llm_config"), "applications": ("wheel",)}
# Where the depot goes when its own path makes no sense elsewhere.
DEPOT = ".depot"


@dataclass
class Contents:
    """What goes into the tar, by path below its folder."""

    items: dict[str, Item] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a person has to know about it."""

    def add(self, name: str, path: Path, *, sha256: str = "", mode: int = 0o644) -> None:
        """A file of this machine; with a sha256, it is checked while it is read."""
        self.items.setdefault(name, Item(name, path, sha256, mode))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when the tar is there."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) not in (1, 2) or given[0].startswith("-"):
        print(__doc__)
        return 2
    inventory = Path(given[0])
    output = Path(given[1] if len(given) == 2 else f"dist/raylab-{inventory.stem}.tar")
    try:
        bundle(inventory, output, Path.cwd())
    except (DepotError, SettingsError, UnreadableError, OSError) as problem:
        print(f"raylab: no bundle was made:\n{problem}", file=sys.stderr)
        return 1
    return 0


def bundle(inventory: Path, output: Path, root: Path) -> None:
    """Fetches what is missing, and writes the tar. Raises DepotError, SettingsError, UnreadableError, OSError."""
    fleet, needs = load(inventory, root), read_needs(inventory, root)
    if needs is None or not (root / inventory).resolve().is_relative_to(root.resolve()):
        raise DepotError(f"{inventory} is no inventory of raylab below {root}. Name one, such as inventory/lab.py.")
    objects = Objects(needs.depot)
    for release in {release.id: release for release in fleet.releases.values()}.values():
        fetch(release, needs.depot, _tell, str(next(k for k, v in fleet.releases.items() if v == release)))
    contents = Contents()
    models = {
        file.sha256: gathered.files[file.path]
        for gathered in (gather(stored, needs.depot) for stored in fleet.stored)
        for file in gathered.manifest.files
    }
    own = environment(root, objects, _tell)
    with objects.alone():
        _repository(contents, root, inventory, fleet)
        _depot(contents, root, needs, models)
        _environment(contents, own, objects)
        folder = f"raylab-{inventory.stem}"
        size = write_tar(output, folder, list(contents.items.values()))
    _tell(f"{output}: {volume(size)}. On the other machine: tar xf {output.name}; {folder}/setup-offline.sh")
    for note in contents.notes:
        _tell(note)
    _tell(f"Not in it: the fleet's secrets ({fleet.secrets}) and SSH keys. Copy them yourself, to the same places.")


def _repository(contents: Contents, root: Path, inventory: Path, fleet: Fleet) -> None:
    """Tracked files, and those of this inventory whether they are tracked or not; keys and secrets are left out."""
    for path in [*_tracked(root), *_of_inventory(contents, root, inventory, fleet)]:
        name = path.relative_to(root).as_posix()
        if path.is_relative_to(fleet.secrets) or not path.is_file():
            continue
        if not path.is_symlink() and KEY_MARK in path.read_bytes()[:100]:
            contents.notes.append(f"{name} is a private key and was left out.")
            continue
        contents.add(name, path, mode=0o755 if path.stat().st_mode & 0o100 else 0o644)


def _tracked(root: Path) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise DepotError(f"{root}: git cannot tell the repository's files: {words}. Use a clone of raylab.")
    return [root / name for name in done.stdout.decode().split("\0") if name]


def _of_inventory(contents: Contents, root: Path, inventory: Path, fleet: Fleet) -> Iterator[Path]:
    yield root / inventory
    raw = read_raw(inventory, root)
    groups = {group for group, _, _ in raw.group_data}
    for folder in dict.fromkeys((root / "group_data", (root / inventory).parent / "group_data")):
        yield from (path for path in sorted(folder.glob("*.py")) if path.stem in groups)
    for locks in fleet.releases:
        if locks.is_relative_to(root):
            yield from sorted(path for path in locks.iterdir() if path.is_file())
        else:
            contents.notes.append(f"The locks {locks} are outside of {root}: copy them yourself, to the same place.")
    for path in _named(raw, root):
        if path.is_relative_to(root):
            yield path
        else:
            contents.notes.append(f"{path} is outside of {root}: copy it yourself, to the same place.")


def _named(raw: RawFleet, root: Path) -> list[Path]:
    """The files that models and applications name, whose settings were checked, each once."""
    found = []
    for setting, keys in FILES.items():
        # These are one for the whole fleet.
        entry = raw.macs[0].data.get(setting)
        items: Any = entry.value if entry else ()
        found += [item[key] for item in items for key in keys if item.get(key)]
    return list(dict.fromkeys(Path(os.path.normpath(root / Path(str(path)).expanduser())) for path in found))


def _depot(contents: Contents, root: Path, needs: Needs, models: dict[str, Path]) -> None:
    """Objects, pieces' hashes and manifests, where the settings look for them."""
    place = PurePosixPath(needs.depot.relative_to(root).as_posix()) if needs.depot.is_relative_to(root) else None
    if place is None:
        place = PurePosixPath(DEPOT)
        contents.notes.append(f'The depot is in {DEPOT} there, not in {needs.depot}: set depot = "{DEPOT}".')
    objects = Objects(needs.depot)
    held = {sha256: objects.path(sha256) for sha256 in sorted(needs.objects()) if objects.holds(sha256)}
    for sha256, path in {**models, **held}.items():
        contents.add(f"{place}/objects/{sha256[:2]}/{sha256}", path, sha256=sha256, mode=0o444)
        if (pieces := needs.depot / "pieces" / f"{sha256}.json").is_file():
            contents.add(f"{place}/pieces/{pieces.name}", pieces)
    for path in [needs.depot / "known.json", *sorted(needs.manifests())]:
        if path.is_file():
            contents.add(f"{place}/{path.relative_to(needs.depot).as_posix()}", path)


def _environment(contents: Contents, own: Environment, objects: Objects) -> None:
    contents.add(SETUP.name, SETUP, mode=0o755)
    for name, sha256 in own.wheels.items():
        contents.add(f"offline/wheels/{name}", objects.path(sha256), sha256=sha256)
    for kind, text in own.requirements.items():
        contents.add(f"offline/requirements-{kind}.txt", objects.path(objects.write(text.encode())))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
