"""Converging again: nothing changes by itself, what was changed by hand is found and repaired."""

from __future__ import annotations

import pytest
from harness import ADDRESSES, all_pids, changes, healthy, on, pyinfra, run


def test_a_second_converge_changes_nothing(well: str) -> None:
    before = all_pids()
    assert None not in [pid for jobs in before.values() for pid in jobs.values()]
    assert changes() == {}
    pyinfra("deploy/cluster.py")
    assert all_pids() == before
    assert changes("--limit", "beta") == {}


def test_dry_and_diff_show_a_change_without_making_it(well: str) -> None:
    on("beta", 'chmod 777 /opt/raylab/etc; sed -i "" s/beta/betta/ /etc/hosts')
    assert set(changes()) == {"beta"}
    shown = run(".venv/bin/pyinfra", "--dry", "--diff", "--limit", "beta", "inventory/lab.py", "deploy/cluster.py")
    assert "betta" in shown.stdout + shown.stderr
    assert "betta" in on("beta", "cat /etc/hosts")
    pyinfra("--limit", "beta", "deploy/cluster.py")
    assert changes() == {}


def test_an_edited_hosts_file_is_repaired_and_nothing_restarts(well: str) -> None:
    before = all_pids()
    hosts = on("gamma", "cat /etc/hosts")
    on(
        "gamma",
        'sed -i "" -e /alpha/d -e s/localhost/localhost\\ mine/ /etc/hosts; echo 10.9.9.9 printer >> /etc/hosts',
    )
    assert list(changes()) == ["gamma"]
    pyinfra("deploy/cluster.py")
    repaired = on("gamma", "cat /etc/hosts")
    # Ours is back; what the owner wrote outside of our block stays.
    assert "10.77.0.11" in repaired
    assert "10.9.9.9 printer" in repaired
    assert "localhost mine" in repaired
    assert len(repaired.splitlines()) == len(hosts.splitlines()) + 1
    assert all_pids() == before


def test_an_edited_plist_is_repaired_and_only_its_job_restarts_with_its_large_log_put_aside(well: str) -> None:
    before = all_pids()
    log = "/opt/raylab/log/serve.log"
    on("alpha", f"head -c 11000000 /dev/zero >> {log}; echo last line >> {log}")
    path = "/Library/LaunchDaemons/io.raylab.serve.plist"
    on("alpha", f'sed -i "" s/serve.yaml/other.yaml/ {path}')
    assert list(changes()) == ["alpha"]
    pyinfra("deploy/cluster.py")
    assert "other.yaml" not in on("alpha", f"cat {path}")
    assert "raylab-serve" in on("alpha", f"head -c 1000 {log}")
    # Its job wrote on until it was stopped.
    assert on("alpha", f'grep -a -c "last line" {log}.0') == "1\n"
    after = all_pids()
    assert after["alpha"]["io.raylab.serve"] != before["alpha"]["io.raylab.serve"]
    before["alpha"].pop("io.raylab.serve"), after["alpha"].pop("io.raylab.serve")
    assert after == before
    assert changes() == {}


def test_an_edited_serve_config_is_repaired_and_nothing_restarts(well: str) -> None:
    before = all_pids()
    config = "/opt/raylab/etc/serve.yaml"
    was = on("alpha", f"cat {config}")
    on("alpha", f'echo "# by hand" >> {config}')
    assert on("alpha", f"cat {config}") != was
    assert list(changes()) == ["alpha"]
    pyinfra("deploy/cluster.py")
    assert on("alpha", f"cat {config}") == was
    # The job reads its config again and again by itself.
    assert all_pids() == before
    assert healthy()


@pytest.mark.parametrize("mac", ADDRESSES)
def test_limit_touches_one_mac_only(well: str, mac: str) -> None:
    before = all_pids()
    done = pyinfra("--limit", mac, "deploy/cluster.py")
    others = [name for name in ADDRESSES if name != mac]
    assert not [line for line in done.stderr.splitlines() if any(f"[{name}]" in line for name in others)]
    assert all_pids() == before


def test_damaged_weights_are_replaced(well: str) -> None:
    file = on("beta", 'find /opt/raylab/weights/tiny -name "*.safetensors"').strip()
    good = on("beta", f"shasum -a 256 {file}")
    on("beta", f"printf X | dd of={file} bs=1 seek=1000 conv=notrunc 2>/dev/null")
    assert on("beta", f"shasum -a 256 {file}") != good
    pyinfra("--limit", "beta", "deploy/cluster.py")
    assert on("beta", f"shasum -a 256 {file}") == good
