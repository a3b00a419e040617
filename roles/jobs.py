"""Looking after the jobs that are installed: table, logs, start, stop, restart."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from fleet import layout
from macos.operations import launchd
from roles.context import this_mac


def labels() -> tuple[str, ...]:
    """The jobs of this Mac, in the order in which they start."""
    return layout.LABELS if this_mac().is_head else (layout.RAY_LABEL,)


@deploy("Stop")
def stop() -> None:
    """The application first, the store last."""
    for label in reversed(layout.LABELS):
        if label in labels():
            launchd.stop(label, name=label)


@deploy("Start")
def start() -> None:
    """The store first, the application last."""
    for label in layout.LABELS:
        if label in labels():
            launchd.start(label, name=label)
