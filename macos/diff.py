"""What `--diff` shows of a text file that is about to change."""

from __future__ import annotations

from pyinfra import logger
from pyinfra.api.output import format_text
from pyinfra.context import host, state
from pyinfra.facts.files import FileContents
from pyinfra.operations.util.files import generate_color_diff


def show_change(path: str, wanted: str, exists: bool) -> None:
    """Prints the difference between the file on the Mac and `wanted`; nothing without `--diff`."""
    if not state.config.DIFF:
        return
    current = host.get_fact(FileContents, path=path) if exists else None
    host.log(f"Will {'modify' if exists else 'create'} {format_text(path, bold=True)}", logger.info)
    for line in generate_color_diff(current or [], wanted.splitlines()):
        logger.info("  %s", line)
