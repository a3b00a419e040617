"""How a Mac turns the depot's files into a release: pure text, so that what runs as root can be read.

The files are put below `<release>/incoming` first: conda/, wheels/, explicit.txt, wheels.lock. Everything
happens on the release's own disk, so that micromamba and uv link instead of copying.
"""

from __future__ import annotations

from depot.fetch import Depot
from fleet.layout import BIN, env_dir, release_dir

# Root's own settings (a mirror, another cache) must not decide what a release holds.
CLEAN = "env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin LANG=en_US.UTF-8"


def incoming_dir(release_id: str) -> str:
    """Where the depot's files wait on a Mac. `complete` is written only after it is gone."""
    return f"{release_dir(release_id)}/incoming"


def explicit_lock(depot: Depot) -> str:
    """incoming/explicit.txt: the conda lock with the URLs of the copies on the Mac."""
    folder = f"{incoming_dir(depot.release.id)}/conda"
    lines = [f"file://{folder}/{package.name}#sha256:{package.sha256}" for package in depot.conda]
    return "\n".join(["@EXPLICIT", *lines]) + "\n"


def wheels_lock(depot: Depot) -> str:
    """incoming/wheels.lock: exactly the files in the depot, one hash each."""
    pairs = zip(depot.release.wheels, depot.wheels, strict=True)
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{file.sha256}\n" for wheel, file in pairs)


def install_commands(release_id: str) -> list[str]:
    """Shell commands for root, in order; the first that fails leaves a release without `complete`.

    They need bin/micromamba and bin/uv and the files in `incoming`; running them again starts over.
    """
    env, incoming = env_dir(release_id), incoming_dir(release_id)
    clean = f"{CLEAN} HOME={incoming}"
    micromamba = f"{BIN}/micromamba create -y -r {incoming}/mamba -p {env} --offline --no-rc -f {incoming}/explicit.txt"
    # Byte code is made once, here: the services' account cannot write it, and without it every process spends
    # half a minute compiling. A release never changes, so nothing has to look whether the code is current.
    uv = (
        f"PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_COMPILE_BYTECODE_TIMEOUT=600 {BIN}/uv pip install --quiet"
        f" --python {env}/bin/python --offline --no-config --no-index --find-links {incoming}/wheels"
        " --require-hashes --no-deps --compile-bytecode"
        f" --cache-dir {incoming}/cache -r {incoming}/wheels.lock"
    )
    return [f"rm -rf {env}", f"{clean} {micromamba}", f"{clean} {uv}", f"rm -rf {incoming}"]
