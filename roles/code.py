"""The code that Ray imports beside the release: raylab's own, and that of the user's applications."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from depot.objects import Objects
from macos.operations import files
from macos.operations.files import Directory, LocalFile
from roles.context import the_fleet


@deploy("Serving code")
def copied() -> None:
    """Each wheel in a folder of its own, which Ray's job names."""
    objects = Objects(the_fleet().depot)
    for wheel in the_fleet().code:
        file = LocalFile(objects.path(objects.write(wheel.data)), wheel.sha256, wheel.file)
        files.tree([Directory(wheel.folder)], name=f"Folder of {wheel.file}")
        files.upload(wheel.folder, [file], name=wheel.file)
