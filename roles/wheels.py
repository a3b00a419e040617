"""The release's wheels, hashes required, no internet on the Mac; then the marker that makes the release whole."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from depot.fanout.parcel import Item, Parcel
from depot.install import wheel_commands, wheels_dir, wheels_lock
from fleet.layout import env_dir, release_dir
from macos.operations import files, objects
from macos.operations.files import TextFile
from macos.signatures import signature_check
from roles import relay
from roles.context import the_release
from roles.ray import wrapper
from roles.release import is_complete, macs_of_release, manifest, steps, the_depot


@deploy("Wheels")
def installed() -> None:
    """The wheels, and Python started once."""
    if is_complete() and not relay.deep():
        return
    depot, release_id = the_depot(), the_release().id
    folder = release_dir(release_id)
    size = f"{len(depot.wheels)} files, {sum(wheel.size for wheel in depot.wheels) / 1e6:.0f} MB"
    files.tree(
        name="Wheels lock and manifest",
        files=[
            TextFile(f"{folder}/wheels.lock", wheels_lock(depot)),
            TextFile(f"{folder}/manifest.json", manifest(depot)),
            wrapper("raylab_verify.py"),
            wrapper("raylab_bytecode.py"),
        ],
    )
    relay.arrived(parcel(), name=f"Wheels: {size}")
    objects.view(wheels_dir(release_id), {wheel.name: wheel.sha256 for wheel in depot.wheels}, name="Wheels by name")
    # A signature that is not right ends Python at its first start, and then there is no marker.
    started = f"{env_dir(release_id)}/bin/python -c 'import ssl, sqlite3, ray'"
    commands = [*wheel_commands(release_id), signature_check(env_dir(release_id)), started, f"touch {folder}/complete"]
    steps(release_id, "complete", commands, name="Wheels into the env, with byte code (minutes)")


def parcel() -> Parcel:
    """The wheels of this Mac's release."""
    items = tuple(Item(wheel.name, wheel.sha256, wheel.size, wheel.path) for wheel in the_depot().wheels)
    return Parcel("wheels", items, macs_of_release())
