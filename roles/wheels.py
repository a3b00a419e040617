"""The release's wheels, hashes required, no internet on the Mac; then the marker that makes the release whole."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from depot.install import incoming_dir, install_commands, wheels_lock
from fleet.layout import env_dir, release_dir
from macos.operations import files
from macos.operations.files import TextFile
from roles.context import the_release
from roles.release import is_complete, local, manifest, megabytes, steps, the_depot


@deploy("Wheels")
def installed() -> None:
    """The wheels, and Python started once."""
    if is_complete():
        return
    depot, release_id = the_depot(), the_release().id
    folder, incoming = release_dir(release_id), incoming_dir(release_id)
    files.tree(
        name="Wheels lock and manifest",
        files=[
            TextFile(f"{incoming}/wheels.lock", wheels_lock(depot)),
            TextFile(f"{folder}/manifest.json", manifest(depot)),
        ],
    )
    files.upload(f"{incoming}/wheels", local(depot.wheels), name=f"Wheels: {megabytes(depot.wheels)}")
    # A signature that is not right ends Python at its first start, and then there is no marker.
    started = f"{env_dir(release_id)}/bin/python -c 'import ssl, sqlite3, ray'"
    marker = f"touch {folder}/complete"
    commands = [*install_commands(release_id)[2:], started, marker]
    steps(release_id, commands, name="Wheels into the env, with byte code (minutes)")
