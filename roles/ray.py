"""Ray: the state store on the head, a node on every Mac."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

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


def wrapper(name: str, folder: str = layout.LIBEXEC) -> TextFile:
    """A program of ours that launchd starts, or that health runs."""
    mode = "0644" if name.endswith(".py") else "0755"
    return TextFile(f"{folder}/{name}", (TEMPLATES / name).read_text(), mode=mode)


def secret(path: str, content: str) -> TextFile:
    """A file that only root writes and only the service account reads."""
    return TextFile(path, content, group=layout.ACCOUNT, mode="0640", secret=True)


def store_files(libexec: str = layout.LIBEXEC, config: str = layout.STORE_CONFIG) -> list[TextFile]:
    """What the store reads."""
    return [
        wrapper("raylab-trim", libexec),
        wrapper("raylab-store", libexec),
        TextFile(config, store_config(the_fleet()), group=layout.ACCOUNT, mode="0640"),
        secret(layout.STORE_CA, secrets().store_ca),
        secret(layout.STORE_CERT, secrets().store_cert),
        secret(layout.STORE_KEY, secrets().store_key),
    ]


def node_files(libexec: str = layout.LIBEXEC) -> list[TextFile]:
    """What Ray's job reads."""
    token = secret(layout.RAY_TOKEN, secrets().ray_token)
    programs = [wrapper(name, libexec) for name in ("raylab-trim", "raylab-ray", "raylab_ray.py")]
    return [*programs, token]


def reads() -> dict[str, list[TextFile]]:
    """What this Mac's part of the cluster reads, by job, in the order in which they start."""
    return {**({layout.STORE_LABEL: store_files()} if this_mac().is_head else {}), layout.RAY_LABEL: node_files()}


def plist(label: str) -> dict[str, Any]:
    """What one job of this Mac is."""
    memory = everyone(MacReport)[host.name].memory_bytes
    return job(the_fleet(), this_mac(), the_release(), label, memory).plist


def digest(label: str, files_read: list[TextFile]) -> str:
    """What tells the job from one that was started with anything else."""
    whole = launchd.job_plist(label, plist(label), [file.content for file in files_read])
    found: str = whole["EnvironmentVariables"][launchd.DIGEST]
    return found


def daemon(label: str, files_read: list[TextFile]) -> None:
    """The files that a job reads, then the job itself, which restarts when one of them changed."""
    files.tree(files=files_read, name=f"Files of {label}")
    launchd.job(label, plist(label), depends=[file.content for file in files_read], name=label)


@deploy("Store")
def store() -> None:
    """The head keeps Ray's cluster state on disk: the other Macs serve on while it is away."""
    daemon(layout.STORE_LABEL, store_files())


@deploy("Ray")
def node() -> None:
    """This Mac is a node of the fleet's Ray cluster, under its node IP."""
    report_program()
    daemon(layout.RAY_LABEL, node_files())


def report_program() -> None:
    """What a run asks on the Macs. No job reads it: it restarts nobody."""
    files.tree(files=[wrapper("raylab_report.py")], name="Report program")
