"""What lands on a Mac: exact arguments, environment, configuration and plists."""

from __future__ import annotations

import plistlib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fleet_project import Project

from fleet.firewall import reached_by
from fleet.gateway import GRACE_S, caddyfile, check_seconds, settle_seconds
from fleet.jobs import gateway_job, job, jobs
from fleet.layout import LABELS, log_path, plist_path, weights_dir
from fleet.memory import usable_bytes
from fleet.names import hosts_block
from fleet.placement import SLOTS
from fleet.plan import make_plan
from fleet.ports import RING_LAST, RING_PORT, RING_PORTS, Ports, clashes
from fleet.ray import label, ray_arguments, ray_environment
from fleet.serve import serve_config
from fleet.settings import GB, Fleet
from fleet.store import store_config

ALL = "inventory/group_data/all.py"
# One for each model that a Mac may hold, and one by the number of each.
OFFERED = '{"mlx":64,' + ",".join(f'"slot-{number}":1' for number in range(64)) + "}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def fleet(project: Project) -> Fleet:
    return project.load()


def test_the_port_table_has_no_doubles_and_stays_clear_of_ephemeral_ports() -> None:
    assert clashes(Ports()) == []
    assert all(1024 <= port < 32768 for port in (*Ports().single().values(), Ports().worker_max))


def test_the_page_of_ports_is_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ports.md").read_text()
    rows = [
        f"| `{entry.name}` | {entry.default} | {entry.metadata['doc']} | {reached_by(entry.name)} |"
        for entry in fields(Ports)
    ]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
    assert f"| {RING_PORT}–{RING_LAST} |" in page
    two = Ports().moved(1)
    assert f"`gcs` {two.gcs},\n`serve_http` {two.serve_http}, workers {two.worker_min}–{two.worker_max}" in page


def test_every_slot_has_ports_for_a_group() -> None:
    assert RING_LAST == RING_PORT + SLOTS * RING_PORTS - 1


def test_ray_on_the_head(fleet: Fleet) -> None:
    assert ray_arguments(fleet, fleet.head) == [
        "--head",
        "--port=6379",
        "--ray-client-server-port=10001",
        "--dashboard-host=127.0.0.1",
        "--dashboard-port=8265",
        "--temp-dir=/opt/raylab/ray/tmp",
        "--node-ip-address=10.77.0.11",
        "--node-manager-port=6381",
        "--object-manager-port=6382",
        "--runtime-env-agent-port=6383",
        "--dashboard-agent-grpc-port=6384",
        "--dashboard-agent-listen-port=6385",
        "--metrics-export-port=6386",
        "--min-worker-port=10100",
        "--max-worker-port=10299",
        "--num-cpus=4",
        "--num-gpus=0",
        "--labels=raylab.io/mac=alpha",
        f"--resources={OFFERED}",
        "--object-store-memory=1073741824",
        "--disable-usage-stats",
    ]


def test_ray_on_a_worker(fleet: Fleet) -> None:
    arguments = ray_arguments(fleet, fleet.mac("beta"))
    assert arguments[:2] == ["--address=10.77.0.11:6379", "--node-ip-address=10.77.0.12"]
    assert not [text for text in arguments if text.startswith(("--head", "--port", "--temp-dir", "--dashboard-port"))]
    rest = [text for text in ray_arguments(fleet, fleet.head)[7:] if not text.startswith("--labels=")]
    assert [text for text in arguments[2:] if text != "--labels=raylab.io/mac=beta"] == rest


def test_ray_offers_the_memory_that_models_may_take(fleet: Fleet) -> None:
    assert f"--memory={usable_bytes(64 * GB)}" in ray_arguments(fleet, fleet.head, memory=64 * GB)


@pytest.mark.parametrize(("name", "value"), [("@local", "local"), ("mac_2", "mac_2"), ("x" * 70 + "-", "x" * 62)])
def test_a_macs_name_as_a_label(fleet: Fleet, name: str, value: str) -> None:
    assert label(replace(fleet.head, name=name)) == value


def test_the_environment_of_a_worker(fleet: Fleet) -> None:
    mac = fleet.mac("beta")
    release = fleet.release(mac)
    assert ray_environment(fleet, mac, release) == {
        "HOME": "/opt/raylab/state/home",
        "LANG": "en_US.UTF-8",
        "PATH": f"/opt/raylab/releases/{release.id}/env/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "RAYLAB_RELEASE": f"/opt/raylab/releases/{release.id}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/opt/raylab/etc/ray-token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "604800",
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_num_workers_soft_limit": "1",
        "RAYLAB_RAY_TEMP": "/opt/raylab/ray/tmp",
        "RAYLAB_DRAINING": "/opt/raylab/state/draining",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_ROTATION_MAX_BYTES": "16777216",
        "RAY_ROTATION_BACKUP_COUNT": "2",
        "RAY_agent_register_timeout_ms": "180000",
        "RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT": "86400",
        "RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0",
        "PYTHONPATH": fleet.serving.path,
        "VLLM_HOST_IP": "10.77.0.12",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def test_the_head_also_knows_the_store(fleet: Fleet) -> None:
    release = fleet.release(fleet.head)
    head = ray_environment(fleet, fleet.head, release)
    worker = ray_environment(fleet, fleet.mac("beta"), release)
    assert {name: value for name, value in head.items() if name not in worker} == {
        "DASHBOARD_METRIC_PORT": "6387",
        "AUTOSCALER_METRIC_PORT": "6388",
        "RAY_REDIS_ADDRESS": "rediss://127.0.0.1:6380",
        "RAY_REDIS_CA_CERT": "/opt/raylab/etc/store-ca.pem",
        "RAY_REDIS_CLIENT_CERT": "/opt/raylab/etc/store-cert.pem",
        "RAY_REDIS_CLIENT_KEY": "/opt/raylab/etc/store-key.pem",
    }


def test_a_large_object_store_must_be_allowed(project: Project) -> None:
    project.change(ALL, "platform =", "object_store_mb = 4096\nplatform =")
    fleet = project.load()
    environment = ray_environment(fleet, fleet.head, fleet.release(fleet.head))
    assert environment["RAY_ENABLE_MAC_LARGE_OBJECT_STORE"] == "1"


def test_every_port_of_the_table_is_used(fleet: Fleet, project: Project) -> None:
    """A port that is changed in the settings changes on the Macs."""
    head = fleet.head
    written = " ".join(
        [
            *ray_arguments(fleet, head),
            *ray_environment(fleet, head, fleet.release(head)).values(),
            store_config(fleet),
            str(serve_config(fleet, make_plan(fleet, {}))),
            caddyfile(fleet, head, ()),
        ]
    )
    ports = fleet.ports
    unused = [name for name, port in ports.single().items() if str(port) not in written]
    assert unused == ["relay"]  # that one is told to the relay's agents when they start


def test_the_mac_alone_serves_itself_only(project: Project) -> None:
    project.write("inventory/local.py", 'head = [("@local", {"node_ip": "127.0.0.1"})]\n')
    fleet = project.load("inventory/local.py")
    assert serve_config(fleet, make_plan(fleet, {}))["http_options"]["host"] == "127.0.0.1"
    assert hosts_block(fleet) == ""


def test_the_store(fleet: Fleet) -> None:
    assert (
        store_config(fleet)
        == """\
bind 127.0.0.1
port 0
tls-port 6380
tls-cert-file /opt/raylab/etc/store-cert.pem
tls-key-file /opt/raylab/etc/store-key.pem
tls-ca-cert-file /opt/raylab/etc/store-ca.pem
tls-auth-clients yes
tls-protocols "TLSv1.2 TLSv1.3"
dir /opt/raylab/store
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 16mb
save ""
daemonize no
protected-mode yes
maxmemory-policy noeviction
"""
    )


def test_the_hosts_file(fleet: Fleet) -> None:
    assert (
        hosts_block(fleet)
        == """\
10.77.0.11 alpha
10.77.0.12 beta
10.77.0.13 gamma
::ffff:127.0.0.1 loopback4
"""
    )


def test_which_jobs_a_mac_has(fleet: Fleet) -> None:
    release = fleet.release(fleet.head)
    assert tuple(each.label for each in jobs(fleet, fleet.head, release)) == LABELS
    assert [each.label for each in jobs(fleet, fleet.mac("beta"), release)] == ["io.raylab.ray", "io.raylab.gateway"]
    assert job(fleet, fleet.head, release, "io.raylab.serve").label == "io.raylab.serve"
    with pytest.raises(KeyError):
        job(fleet, fleet.mac("beta"), release, "io.raylab.serve")


def test_the_plist_of_ray(fleet: Fleet) -> None:
    mac = fleet.mac("beta")
    release = fleet.release(mac)
    ray, _ = jobs(fleet, mac, release)
    assert ray.path == "/Library/LaunchDaemons/io.raylab.ray.plist"
    assert ray.plist == {
        "Label": "io.raylab.ray",
        "ProgramArguments": ["/opt/raylab/libexec/raylab-ray", *ray_arguments(fleet, mac)],
        "UserName": "_raylab",
        "GroupName": "_raylab",
        "WorkingDirectory": "/opt/raylab/state/home",
        "EnvironmentVariables": ray_environment(fleet, mac, release),
        "StandardOutPath": "/opt/raylab/log/ray.log",
        "StandardErrorPath": "/opt/raylab/log/ray.log",
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "ExitTimeOut": 120,
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": 65536},
        "HardResourceLimits": {"NumberOfFiles": 65536},
    }


def test_the_door_s_plist_names_no_release(fleet: Fleet, project: Project) -> None:
    release = fleet.release(fleet.head)
    door = gateway_job(release)
    program = f"/opt/raylab/gateway/{'a' * 12}/caddy"
    assert door.plist["ProgramArguments"][:3] == [program, "run", "--config"]
    assert release.id not in str(door.plist)
    assert door.plist["ExitTimeOut"] > GRACE_S
    project.locks("locks/linux-64", ray="2.60.0")
    other = project.load()
    assert gateway_job(other.release(other.head)) == door
    assert other.release(other.head).id != release.id


def test_doors_ask_the_macs_of_a_large_fleet_less_often(fleet: Fleet) -> None:
    many = replace(fleet, macs=tuple(replace(fleet.head, name=str(number)) for number in range(50)))
    assert (check_seconds(fleet), check_seconds(many)) == (2, 10)
    assert settle_seconds(many) >= 2 * check_seconds(many)


def test_the_plists_of_store_and_serve(fleet: Fleet) -> None:
    store, _, serve, _ = jobs(fleet, fleet.head, fleet.release(fleet.head))
    assert store.plist["ProgramArguments"] == [
        "/opt/raylab/libexec/raylab-store",
        "/opt/raylab/etc/store.conf",
    ]
    assert serve.plist["ProgramArguments"] == [
        "/opt/raylab/libexec/raylab-serve",
        "/opt/raylab/etc/serve.yaml",
        "http://127.0.0.1:8265",
    ]
    assert serve.plist["EnvironmentVariables"]["RAY_AUTH_TOKEN_PATH"] == "/opt/raylab/etc/ray-token"
    assert "RAY_AUTH_TOKEN_PATH" not in store.plist["EnvironmentVariables"]


def test_plists_can_be_written_and_hold_strings_only_where_launchd_wants_them(fleet: Fleet) -> None:
    for each in jobs(fleet, fleet.head, fleet.release(fleet.head), memory=64 * GB):
        assert plistlib.loads(plistlib.dumps(each.plist)) == each.plist
        assert all(isinstance(value, str) for value in each.plist["EnvironmentVariables"].values())
        assert all(isinstance(value, str) for value in each.plist["ProgramArguments"])


def test_no_secret_is_rendered(project: Project) -> None:
    project.write("secrets/ray-token", "t0psecret").chmod(0o600)
    project.write("secrets/store-key.pem", "t0psecret").chmod(0o600)
    fleet = project.load()
    rendered = [each.plist for each in jobs(fleet, fleet.head, fleet.release(fleet.head))]
    assert "t0psecret" not in str([rendered, store_config(fleet), fleet])


def test_names_of_folders_and_files() -> None:
    assert weights_dir("Qwen/Qwen3-8B", "0123") == "/opt/raylab/weights/Qwen--Qwen3-8B/0123"
    assert log_path("io.raylab.serve") == "/opt/raylab/log/serve.log"
    assert plist_path("io.raylab.store") == "/Library/LaunchDaemons/io.raylab.store.plist"
