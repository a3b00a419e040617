"""Ray: the state store on the head, a node on every Mac."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from depot.secrets import Secrets, fleet_secrets
from fleet import layout
from fleet.jobs import job
from fleet.store import store_config
from macos.facts.report import MacReport
from macos.operations import files, launchd
from macos.operations.files import TextFile
from roles.context import everyone, the_fleet, the_release, this_mac

TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "libexec"


@cache
def secrets() -> Secrets:
    """The fleet's token and certificates, made on the first run."""
    return fleet_secrets(Path(the_fleet().secrets).expanduser())


def wrapper(name: str) -> TextFile:
    """A program of ours that launchd starts, or that health runs."""
    mode = "0644" if name.endswith(".py") else "0755"
    return TextFile(f"{layout.LIBEXEC}/{name}", (TEMPLATES / name).read_text(), mode=mode)


def secret(path: str, content: str) -> TextFile:
    """A file that only root writes and only the service account reads."""
    return TextFile(path, content, group=layout.ACCOUNT, mode="0640", secret=True)


def daemon(label: str, reads: list[TextFile]) -> None:
    """The files that a job reads, then the job itself, which restarts when one of them changed."""
    files.tree(files=reads, name=f"Files of {label}")
    memory = everyone(MacReport)[host.name].memory_bytes
    plist = job(the_fleet(), this_mac(), the_release(), label, memory).plist
    launchd.job(label, plist, depends=[file.content for file in reads], name=label)


@deploy("Store")
def store() -> None:
    """The head keeps Ray's cluster state on disk: the other Macs serve on while it is away."""
    daemon(
        layout.STORE_LABEL,
        [
            wrapper("raylab-store"),
            TextFile(layout.STORE_CONFIG, store_config(the_fleet()), group=layout.ACCOUNT, mode="0640"),
            secret(layout.STORE_CA, secrets().store_ca),
            secret(layout.STORE_CERT, secrets().store_cert),
            secret(layout.STORE_KEY, secrets().store_key),
        ],
    )


@deploy("Ray")
def node() -> None:
    """This Mac is a node of the fleet's Ray cluster, under its node IP."""
    # Nothing reads it but the health check: it restarts nobody.
    files.tree(files=[wrapper("raylab_report.py")], name="Report program")
    daemon(
        layout.RAY_LABEL,
        [
            wrapper("raylab-ray"),
            wrapper("raylab_ray.py"),
            secret(layout.RAY_TOKEN, secrets().ray_token),
        ],
    )
