"""What a Mac is told about itself: the service account, our folders, never to sleep."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from fleet import layout
from macos.operations import account, before, files, power
from macos.operations.exclusions import excluded
from macos.operations.files import Directory
from roles import sides

# A server neither sleeps nor stays off after a power cut. Settings that a Mac lacks are skipped.
POWER = {"sleep": 0, "disksleep": 0, "displaysleep": 0, "womp": 1, "autorestart": 1}


@deploy("Host")
def settings() -> None:
    """The account that runs everything, the folders of /opt/raylab, and power settings of a server."""
    before.parent(name="Record of what was there before")
    account.service_account(
        layout.ACCOUNT,
        uid=layout.ACCOUNT_UID,
        gid=layout.ACCOUNT_GID,
        home=layout.HOME,
        name="Service account",
    )
    files.tree(
        name="Folders",
        directories=[
            *(Directory(path) for path in (layout.PREFIX, layout.BIN, layout.DEPOT, layout.RELEASES, layout.WEIGHTS)),
            *(Directory(path) for path in (layout.LIBEXEC, layout.GATEWAY, layout.STATE)),
            Directory(layout.ETC, group=layout.ACCOUNT, mode="0750"),
            *(Directory(path, layout.ACCOUNT, layout.ACCOUNT, "0750") for path in (layout.LOG, layout.RAY_DIR)),
            *sides.folders(),
        ],
    )
    # Gigabytes that can be fetched again at any time.
    excluded([layout.DEPOT, layout.RELEASES, layout.WEIGHTS], name="No backup and no Spotlight index of artifacts")
    power.settings(POWER, name="Power settings")
