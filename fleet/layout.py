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
ETC = f"{PREFIX}/etc"
LIBEXEC = f"{PREFIX}/libexec"
LOG = f"{PREFIX}/log"
STATE = f"{PREFIX}/state"
# How a Thunderbolt port was set up before raylab took it: a file for each, named by its interface.
THUNDERBOLT_BEFORE = f"{STATE}/thunderbolt"
STORE_DIR = f"{PREFIX}/store"
RAY_DIR = f"{PREFIX}/ray"
# The default of the setting ray_temp_dir: Ray keeps sockets below it, so it stays short. Ray opens this folder to
# everybody, hence the closed one around it.
RAY_TEMP = f"{RAY_DIR}/tmp"
# The service account's HOME: engines write their compile caches there.
HOME = f"{STATE}/home"

RAY_TOKEN = f"{ETC}/ray-token"
SERVE_CONFIG = f"{ETC}/serve.yaml"
STORE_CONFIG = f"{ETC}/store.conf"
STORE_CA = f"{ETC}/store-ca.pem"
STORE_CERT = f"{ETC}/store-cert.pem"
STORE_KEY = f"{ETC}/store-key.pem"

# A hidden role account. macOS keeps ids from 200 to 400 for those, and gives its own from 200 upwards (250 is
# _analyticsusers) and from 395 to 400.
ACCOUNT = "_raylab"
ACCOUNT_UID = 390
ACCOUNT_GID = 390

STORE_LABEL = "io.raylab.store"
RAY_LABEL = "io.raylab.ray"
SERVE_LABEL = "io.raylab.serve"
# Runs once at every start, as root, and ends: nothing to stop or to look after.
LIMITS_LABEL = "io.raylab.limits"
# In the order in which they start; stopping goes backwards.
LABELS = (STORE_LABEL, RAY_LABEL, SERVE_LABEL)

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


def plist_path(label: str) -> str:
    """The LaunchDaemon file of a job."""
    return f"{PLISTS}/{label}.plist"


def log_path(label: str) -> str:
    """The log file of a job: `io.raylab.ray` writes to `ray.log`."""
    return f"{LOG}/{label.rsplit('.', 1)[-1]}.log"
