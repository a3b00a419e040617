"""What other tools say in many lines, as one."""

from __future__ import annotations

# As much as a person reads in one line.
LIMIT = 600


def one_line(text: str) -> str:
    """The text without line breaks; of a long one the beginning, which names the matter, and the end."""
    words = " ".join(text.split())
    return words if len(words) <= LIMIT else f"{words[: LIMIT // 3]} … {words[-LIMIT // 3 * 2 :]}"
