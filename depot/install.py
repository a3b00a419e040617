"""How a Mac turns objects into a release: pure text, so that what runs as root can be read.

The env is made at its final path from the conda packages in `<release>/incoming`, then the wheels of
`<release>/wheels` go into it. Each step leaves a mark, and what is done is not done again: a Mac that lost power
half-way goes on where it was. Everything happens on the release's own disk, so that files are linked, not copied.
"""

from __future__ import annotations

from depot.fetch import Depot
from fleet.layout import BIN, LIBEXEC, RELEASES, env_dir, release_dir

# Root's own settings (a mirror, another cache) must not decide what a release holds.
CLEAN = "env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin LANG=en_US.UTF-8"
VERIFY = f"{LIBEXEC}/raylab_verify.py"
BYTECODE = f"{LIBEXEC}/raylab_bytecode.py"
# The release before may be serving meanwhile.
BEHIND = "nice -n 15"


def incoming_dir(release_id: str) -> str:
    """Where the conda packages wait on a Mac, and what the installers keep for themselves."""
    return f"{release_dir(release_id)}/incoming"


def wheels_dir(release_id: str) -> str:
    """The wheels under their own names: they stay, so that the next release fetches only what differs."""
    return f"{release_dir(release_id)}/wheels"


def explicit_lock(depot: Depot) -> str:
    """incoming/explicit.txt: the conda lock with the URLs of the copies on the Mac."""
    folder = f"{incoming_dir(depot.release.id)}/conda"
    lines = [f"file://{folder}/{package.name}#sha256:{package.sha256}" for package in depot.conda]
    return "\n".join(["@EXPLICIT", *lines]) + "\n"


def wheels_lock(depot: Depot) -> str:
    """wheels.lock on the Mac: exactly the files in the depot, one hash each."""
    pairs = zip(depot.release.wheels, depot.wheels, strict=True)
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{file.sha256}\n" for wheel, file in pairs)


def env_commands(release_id: str) -> list[str]:
    """Shell commands for root that make the env; they need bin/micromamba and `incoming`, and start over."""
    env, incoming = env_dir(release_id), incoming_dir(release_id)
    options = f"create -y -r {incoming}/mamba -p {env} --offline --no-rc -f {incoming}/explicit.txt"
    return [
        f"rm -rf {env}",
        f"{CLEAN} HOME={incoming} TMPDIR={incoming} {BIN}/micromamba {options}",
        f"touch {env_mark(release_id)}",
        f"rm -rf {incoming}",
    ]


def env_mark(release_id: str) -> str:
    """The file that says that the env is made, and waits for its wheels."""
    return f"{release_dir(release_id)}/env-made"


def wheel_commands(release_id: str) -> list[str]:
    """Shell commands for root that put the wheels into the env; they need bin/uv and the wheels by name."""
    folder, env = release_dir(release_id), env_dir(release_id)
    scratch = f"{folder}/incoming"
    uv = (
        f"{CLEAN} HOME={scratch} TMPDIR={scratch} {BIN}/uv pip install --quiet"
        f" --python {env}/bin/python --offline --no-config --no-index --find-links {wheels_dir(release_id)}"
        f" --require-hashes --no-deps --cache-dir {scratch}/cache -r {folder}/wheels.lock"
    )
    return [
        f"mkdir -p {scratch}",
        # uv takes what it finds for installed; power may have gone while it was writing.
        f"broken=$(test ! -e {folder}/installing || {env}/bin/python -I {VERIFY} --as-options)",
        f"touch {folder}/installing",
        f"{BEHIND} {uv} $broken",
        # Once, here: the services' account cannot write it, and without it every process spends half a minute
        # compiling.
        f"{BEHIND} {CLEAN} {env}/bin/python -I {BYTECODE} {RELEASES}",
        f"rm -rf {scratch}",
        f"rm -f {folder}/installing",
    ]
