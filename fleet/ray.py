"""How Ray is started on a Mac: the arguments of `ray start`, and the environment of everything below it."""

from __future__ import annotations

import json
import re

from fleet import layout
from fleet.memory import usable_bytes
from fleet.placement import SLOTS
from fleet.release import Release
from fleet.settings import Fleet, Mac

MB = 1024**2
# How Serve finds a Mac by its name.
MAC_LABEL = "raylab.io/mac"
# vllm-metal asks for one of these per Mac and model.
MLX = "mlx"
# Beyond this size Ray on macOS refuses an object store unless told otherwise.
_LARGE_STORE_MB = 2048
# Of each process.
_LOG_BYTES, _LOG_BACKUPS = 16 * MB, 2
# For how long they do: time to notice a head that is dead for good, and to make another Mac the head.
_HEADLESS_S = 7 * 24 * 3600
# What an answer may take that is not streamed: 100,000 tokens of a large model, at two a second, are 14 hours. A client
# that goes away ends its request at once, so this is only for those that wait.
_WHOLE_ANSWER_S = 24 * 3600


def ray_arguments(fleet: Fleet, mac: Mac, memory: int | None = None) -> list[str]:
    """What follows `ray start` on this Mac; the wrapper adds `--block`.

    `memory` is the Mac's memory in bytes. Given that, Ray offers what models may take of it, and places a
    model only where it fits. Without it Ray goes by its own measure.
    """
    return [
        *(_as_head(fleet) if mac.is_head else [f"--address={gcs_address(fleet)}"]),
        *_node(fleet, mac),
        f"--num-cpus={fleet.ray_cpus}",
        "--num-gpus=0",
        f"--labels={MAC_LABEL}={label(mac)}",
        # As many models as memory allows: a replica asks for one `mlx`, and for the one slot of its model, so that
        # no Mac gets the same model twice.
        f"--resources={json.dumps(offered(), separators=(',', ':'))}",
        *_shared_memory(fleet),
        *([f"--memory={usable_bytes(memory)}"] if memory else []),
        "--disable-usage-stats",
    ]


def next_arguments(fleet: Fleet) -> list[str]:
    """What follows `ray start` for the head of a cluster that is coming: it offers nothing, and gets no replica."""
    arguments = [*_as_head(fleet), *_node(fleet, fleet.head), "--num-cpus=0", "--num-gpus=0"]
    # A byte: without a figure Ray goes by what is free, and refuses to start on a Mac whose engines have it all.
    return [*arguments, "--memory=1", *_shared_memory(fleet), "--disable-usage-stats"]


def _as_head(fleet: Fleet) -> list[str]:
    return [
        "--head",
        f"--port={fleet.ports.gcs}",
        f"--ray-client-server-port={fleet.ports.ray_client}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={fleet.ports.dashboard}",
        # Workers take the head's folder over.
        f"--temp-dir={fleet.temp_dir}",
    ]


def _shared_memory(fleet: Fleet) -> list[str]:
    return [f"--object-store-memory={fleet.object_store_mb * MB}"]


def _node(fleet: Fleet, mac: Mac) -> list[str]:
    """What every node is told of itself."""
    ports = fleet.ports
    return [
        f"--node-ip-address={mac.node_ip}",
        f"--node-manager-port={ports.node_manager}",
        f"--object-manager-port={ports.object_manager}",
        f"--runtime-env-agent-port={ports.runtime_env_agent}",
        f"--dashboard-agent-grpc-port={ports.agent_grpc}",
        f"--dashboard-agent-listen-port={ports.agent_http}",
        f"--metrics-export-port={ports.metrics}",
        f"--min-worker-port={ports.worker_min}",
        f"--max-worker-port={ports.worker_max}",
    ]


def offered() -> dict[str, int]:
    """What a Mac offers to models, beside CPUs and memory."""
    return {MLX: SLOTS, **{slot(number): 1 for number in range(SLOTS)}}


def slot(number: int) -> str:
    """The resource that one replica of a model takes of its Mac."""
    return f"slot-{number}"


def label(mac: Mac) -> str:
    """The Mac's name as a label of its Ray node, which must begin and end with a letter or digit."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", mac.name)[-63:].strip("-_.")


def ray_environment(fleet: Fleet, mac: Mac, release: Release) -> dict[str, str]:
    """The environment of Ray and of all that it starts. Secrets are paths here, never values."""
    environment = {
        **base_environment(release),
        **client_environment(),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's default, 15, would let anything else on the Mac slow the engine down.
        "RAY_worker_niceness": "0",
        # The others serve on while the head is away; by default a worker gives up after a minute.
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(_HEADLESS_S),
        # A Mac that is busy at boot starts Ray's agents slowly; the raylet gives up on them after 30 s.
        "RAY_agent_register_timeout_ms": "180000",
        # Replicas are the only workers: idle ones in reserve would only take memory.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_num_workers_soft_limit": "1",
        # The plan has decided what fits; Ray must not kill an engine for the memory it was given.
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_ROTATION_MAX_BYTES": str(_LOG_BYTES),
        "RAY_ROTATION_BACKUP_COUNT": str(_LOG_BACKUPS),
        # The wrapper clears stale sockets there, and knows its cluster's processes by it.
        "RAYLAB_RAY_TEMP": fleet.temp_dir,
        # Replicas look whether it is there, and then want no more requests.
        "RAYLAB_DRAINING": layout.DRAINING,
        # Ray's default ends every answer that takes longer than 600 s as a 408; of a stream, its first part.
        "RAY_SERVE_LLM_ROUTER_HTTP_TIMEOUT": str(_WHOLE_ANSWER_S),
        # Prompts are nobody's business.
        "RAYLLM_ENABLE_REQUEST_PROMPT_LOGS": "0",
        # Where the Serve config finds raylab_serving.
        "PYTHONPATH": fleet.serving.path,
        "VLLM_HOST_IP": mac.node_ip,
        "VLLM_NO_USAGE_STATS": "1",
        # Weights are local files; nothing may look for them elsewhere.
        "HF_HUB_OFFLINE": "1",
    }
    if fleet.object_store_mb > _LARGE_STORE_MB:
        environment["RAY_ENABLE_MAC_LARGE_OBJECT_STORE"] = "1"
    return environment | (_head_environment(fleet) if mac.is_head else {})


def _head_environment(fleet: Fleet) -> dict[str, str]:
    return {
        "DASHBOARD_METRIC_PORT": str(fleet.ports.dashboard_metrics),
        "AUTOSCALER_METRIC_PORT": str(fleet.ports.autoscaler_metrics),
        # Cluster state goes to the store on this Mac, so that the fleet outlives its head. A client
        # certificate lets Ray in: a password would end up on the command line of its GCS.
        "RAY_REDIS_ADDRESS": f"rediss://127.0.0.1:{fleet.ports.store}",
        "RAY_REDIS_CA_CERT": layout.STORE_CA,
        "RAY_REDIS_CLIENT_CERT": layout.STORE_CERT,
        "RAY_REDIS_CLIENT_KEY": layout.STORE_KEY,
    }


def base_environment(release: Release) -> dict[str, str]:
    """What launchd does not give a job by itself, for every job of this release."""
    return {
        "HOME": layout.HOME,
        "LANG": "en_US.UTF-8",
        "PATH": f"{layout.env_dir(release.id)}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "RAYLAB_RELEASE": layout.release_dir(release.id),
    }


def client_environment() -> dict[str, str]:
    """What every process that talks to Ray needs, be it a node or a client."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": layout.RAY_TOKEN,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    }


def gcs_address(fleet: Fleet) -> str:
    """Where Ray's control service listens."""
    return f"{fleet.head.node_ip}:{fleet.ports.gcs}"


def dashboard_url(fleet: Fleet) -> str:
    """Ray's dashboard, Jobs and Serve REST, as seen on the head."""
    return f"http://127.0.0.1:{fleet.ports.dashboard}"
