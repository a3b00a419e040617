"""What goes wrong on the control machine while artifacts are gathered."""

from __future__ import annotations


class DepotError(Exception):
    """An artifact that cannot be had, with its name, where it should come from and why, in whole lines."""
