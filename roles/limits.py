"""How much memory the GPU may wire: as much as the plan needs, also after a restart."""

from __future__ import annotations

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from fleet import layout
from fleet.before import KERNEL
from fleet.jobs import WIRED_LIMIT, limits_job
from macos.operations import before, files, kernel, launchd
from roles import announce
from roles.ray import wrapper


@deploy("Limits")
def gpu_memory() -> None:
    """The limit that the plan wants on this Mac, at once and at every start; macOS's own where that suffices."""
    limit = next(row.wired_limit_mb for row in announce.plan().macs if row.mac.name == host.name)
    if limit is None:
        given_up()
        return
    program = wrapper("raylab-limits")
    files.tree(files=[program], name=f"Files of {layout.LIMITS_LABEL}")
    # The job would do it too, but only when it is new: somebody may have changed the limit since.
    kernel.setting(WIRED_LIMIT, limit, name="Limit of GPU memory")
    launchd.job(layout.LIMITS_LABEL, limits_job(limit).plist, depends=[program.content], name=layout.LIMITS_LABEL)


@deploy("No limit")
def given_up() -> None:
    """The limit is what it was before raylab, and nothing sets it at a start."""
    kernel.given_up(WIRED_LIMIT, layout.LIMITS_LABEL, name="macOS's own limit of GPU memory")
    launchd.absent(layout.LIMITS_LABEL, name=layout.LIMITS_LABEL)
    before.forgotten(f"{KERNEL}{WIRED_LIMIT}", name="Record of the limit before")
