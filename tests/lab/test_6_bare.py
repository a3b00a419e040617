"""A bare Mac, set up by a control machine that has nothing but a bundle; then a release that differs by one wheel."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from harness import BIN, ROOT, half_done, killed, lab, run
from weights_lab import HOME, Run, deploy

# The release itself is laid on a bare Mac by `make release` every time.
pytestmark = pytest.mark.long

MAC, ADDRESS = "m5", "10.77.0.15"
# Small, and needed by Ray in any version.
SMALL = ("idna", "3.10")


@pytest.fixture(scope="module")
def inventory() -> Iterator[str]:
    """One Mac that has never been touched; the others are off, since all share this machine's memory."""
    lab("down")
    lab("wipe", MAC)
    lab("up", "--bare", MAC)
    folder = HOME / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "group_data").mkdir(parents=True)
    for name in ("all.py", "simulated.py", "lab.py"):
        shutil.copyfile(ROOT / "inventory/group_data" / name, folder / "group_data" / name)
    (folder / "lab.py").write_text(f'head = [("@mac/{MAC}", {{"node_ip": "{ADDRESS}"}})]\nsimulated = head\n')
    yield str((folder / "lab.py").relative_to(ROOT))
    lab("down")
    lab("wipe", MAC)


@pytest.fixture(scope="module")
def elsewhere(inventory: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, unpacked; with the keys that a person copies by hand."""
    folder = tmp_path_factory.mktemp("control")
    run("make", "bundle", f"INVENTORY={inventory}", f"OUTPUT={folder / 'raylab.tar'}", timeout=900)
    run("tar", "xf", str(folder / "raylab.tar"), "-C", str(folder))
    unpacked = folder / "raylab-lab"
    (unpacked / ".lab/keys").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / ".lab/keys/id_ed25519", unpacked / ".lab/keys")
    shutil.copy(ROOT / ".lab/known_hosts", unpacked / ".lab")
    return unpacked


def there(folder: Path, *command: str) -> Run:
    """Run a command on the machine `client` of the lab's LAN, which reaches the Macs and nothing else."""
    inside = [str(Path(sys.executable).parent / "lab"), "client", "env", "-u", "VIRTUAL_ENV", *command]
    done = subprocess.run(inside, cwd=folder, capture_output=True, text=True, timeout=1500)
    return Run(done.returncode, done.stdout + done.stderr)


def test_a_first_converge_that_is_killed_at_ten_points_is_finished_by_the_same_command(
    inventory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(BIN / "pyinfra"), "-y", inventory, "deploy/cluster.py"]
    chance = random.Random("ten points of a converge")
    # All of it takes two minutes on a fast machine, and each run goes on where the last one was.
    kills = killed(command, [chance.uniform(2, 14) for _ in range(10)])
    assert len(kills) == 10
    assert deploy(inventory, name="deploy/cluster.py").status == 0
    assert half_done(MAC) == ""
    assert deploy(inventory, "--data", "deep=1", name="deploy/health.py").status == 0
    with capsys.disabled():
        print(f"\n  killed after {kills} s, then finished")
    lab("power-off", MAC)
    lab("wipe", MAC)
    lab("up", "--bare", MAC)


def test_a_bare_mac_serves_what_came_out_of_a_bundle(elsewhere: Path, inventory: str) -> None:
    assert "default" not in there(elsewhere, "ip", "route").output
    made = there(elsewhere, "./setup-offline.sh")
    assert made.status == 0, made.output
    converged = there(elsewhere, ".venv/bin/pyinfra", "-y", inventory, "deploy/cluster.py")
    assert converged.status == 0, converged.output
    well = there(elsewhere, ".venv/bin/pyinfra", "-y", "--data", "deep=1", inventory, "deploy/health.py")
    assert well.status == 0, well.output


def test_a_release_that_differs_by_one_wheel_costs_that_wheel(elsewhere: Path, inventory: str, tmp_path: Path) -> None:
    name, version = SMALL
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), f"{name}=={version}")
    wheel = next(tmp_path.glob("*.whl"))
    locks = HOME / "bare" / "locks"
    shutil.copytree(ROOT / ".lab/artifacts/locks", locks)
    lock = (locks / "wheels.lock").read_text()
    line = f"{name}=={version} --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}  # {wheel.name}"
    assert f"\n{name}=={version} " not in lock
    (locks / "wheels.lock").write_text(re.sub(rf"(?m)^{name}==.*$", line, lock))
    settings = HOME / "bare/group_data/lab.py"
    settings.write_text(settings.read_text() + f'locks = "{locks.relative_to(ROOT)}"\n')
    done = deploy(inventory, name="deploy/release.py")
    assert done.status == 0, done.output
    assert done.received(MAC) < 1
    assert len(lab("ssh", MAC, "ls", "/opt/raylab/releases").stdout.split()) == 2
