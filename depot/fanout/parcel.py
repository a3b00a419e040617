"""What travels: ordered objects that the same Macs want."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from depot.objects import piece_hashes, piece_size


@dataclass(frozen=True)
class Item:
    """One object of a parcel."""

    name: str
    """The file's name, for messages."""
    sha256: str
    size: int
    path: Path = field(compare=False)
    """Where the control machine has it."""


@dataclass(frozen=True)
class Parcel:
    """Objects in the order in which they are sent: all wheels of a release, or a model's weights."""

    title: str
    """As a person calls it: `wheels`, `weights of qwen3-8b`."""
    items: tuple[Item, ...] = field(repr=False)
    macs: tuple[str, ...]
    """Names of those that want it."""
    private: bool = False
    """Whether nobody on the network may read it: it travels encrypted."""

    @cached_property
    def id(self) -> str:
        """Named by its content: agents that give the same id hold the same bytes in the same order."""
        return hashlib.sha256("".join(item.sha256 for item in self.items).encode()).hexdigest()[:16]

    def joined(self, other: Parcel) -> Parcel:
        """This parcel for the Macs of another one too, which has the same content."""
        return replace(self, macs=tuple(dict.fromkeys(self.macs + other.macs)), private=self.private or other.private)

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(item.size for item in self.items)

    @cached_property
    def piece(self) -> int:
        """Bytes of the largest piece of any of them."""
        return max(piece_size(item.size) for item in self.items)

    def described(self, depot: Path, *, with_paths: bool) -> list[dict[str, object]]:
        """The objects as an agent is told of them; `with_paths` for the agent of the control machine.

        Raises DepotError when a file here has not the content that its name promises.
        """
        return [
            {
                "sha256": item.sha256,
                "size": item.size,
                "piece": piece_size(item.size),
                "hashes": piece_hashes(depot, item.sha256, item.path),
                "path": str(item.path.absolute()) if with_paths else None,
            }
            for item in self.items
        ]
