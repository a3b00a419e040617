"""The conda env of the release, at its final path, from the explicit lock; no internet on the Mac."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from depot.install import env_commands, explicit_lock, incoming_dir
from fleet.layout import BIN, release_dir
from macos.operations import files
from macos.operations.files import Directory, LocalFile, TextFile
from roles.context import the_release
from roles.release import local, megabytes, stage, steps, the_depot


@deploy("Conda")
def environment() -> None:
    """Micromamba, the packages, the env. They come over SSH: what passes on the rest runs on this Python."""
    if stage():
        return
    depot, release_id = the_depot(), the_release().id
    incoming = incoming_dir(release_id)
    files.tree(
        name="Release folders",
        directories=[Directory(path) for path in (release_dir(release_id), incoming, f"{incoming}/conda")],
        files=[TextFile(f"{incoming}/explicit.txt", explicit_lock(depot))],
    )
    tools = [LocalFile(tool.path, tool.sha256, name) for name, tool in depot.tools.items()]
    files.upload(BIN, tools, mode="0755", name=f"Tools: {', '.join(depot.tools)}")
    files.upload(f"{incoming}/conda", local(depot.conda), name=f"Conda packages: {megabytes(depot.conda)}")
    steps(release_id, "env", env_commands(release_id), name="Env from the conda packages")
