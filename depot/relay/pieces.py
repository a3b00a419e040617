"""An object cut into pieces that are verified alone, and which of them are here."""

from __future__ import annotations

DIGEST = 32


class Pieces:
    """The pieces of one object: the last may be shorter; an empty object has none."""

    def __init__(self, sha256: str, size: int, piece: int, hashes: bytes) -> None:
        """`hashes` are the sha256 digests of the pieces, one after another. Raises ValueError when they do not fit."""
        if size < 0 or piece <= 0 or len(sha256) != 2 * DIGEST or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"{sha256}: not an object's sha256, size and piece")
        if len(hashes) != -(-size // piece) * DIGEST:
            raise ValueError(f"{sha256}: {size} bytes in pieces of {piece} do not have {len(hashes) // DIGEST} hashes")
        self.sha256 = sha256
        self.size = size
        self.piece = piece
        self.hashes = hashes
        # A byte for each, 1 when that piece is verified: searching it is one call.
        self.have = bytearray(len(hashes) // DIGEST)

    def length(self, index: int) -> int:
        """Bytes of this piece."""
        return min(self.piece, self.size - index * self.piece)

    def matches(self, index: int, digest: bytes) -> bool:
        """Whether a piece with this sha256 is the right one."""
        return self.hashes[index * DIGEST : (index + 1) * DIGEST] == digest

    @property
    def complete(self) -> bool:
        """Whether every piece is verified."""
        return 0 not in self.have

    @property
    def good(self) -> int:
        """Bytes in verified pieces."""
        count = self.have.count(1)
        if not count or not self.have[-1]:
            return count * self.piece
        return (count - 1) * self.piece + self.length(len(self.have) - 1)
