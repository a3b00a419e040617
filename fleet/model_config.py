"""Ray Serve's own words in a model's settings: `serve`, merged into what raylab makes, and the file `llm_config`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fleet.engines import LORA_ARGUMENTS
from fleet.errors import Code
from fleet.settings import Between
from fleet.values import Report, nearest

# The fields of ray.serve.llm.LLMConfig in Ray 2.59; it refuses others.
KEYS = (
    "model_loading_config",
    "server_cls",
    "engine_kwargs",
    "deployment_config",
    "placement_group_config",
    "accelerator_config",
    "accelerator_type",
    "runtime_env",
    "callback_config",
    "experimental_configs",
    "lora_config",
    "log_engine_metrics",
    "llm_engine",
)
# What may stand beside llm_config.
BESIDE = ("llm_config", "id", "macs", "memory_gb")
# Keys of LLMConfig that settings of ours decide, since others count on them.
_SAID: dict[tuple[str, ...], str] = {
    ("model_loading_config", "model_id"): "`id`",
    ("model_loading_config", "model_source"): "`source`",
    ("deployment_config", "name"): "`id`",
    ("deployment_config", "num_replicas"): "`replicas`",
    ("deployment_config", "autoscaling_config", "min_replicas"): "`replicas`",
    ("deployment_config", "autoscaling_config", "max_replicas"): "`replicas`",
    ("server_cls",): "`engine`",
    ("experimental_configs", "adapters"): "`adapters`",
    ("experimental_configs", "macs"): "`macs`",
    ("experimental_configs", "ring"): "`shape`",
    ("experimental_configs", "ring_port"): "`shape`",
    **{("engine_kwargs", name): "`adapters`" for name in LORA_ARGUMENTS},
}
# What also a whole LLMConfig must leave to raylab, with what to write instead.
_OURS = {
    ("experimental_configs", "adapters"): "Remove it: only a model with a `source` has `adapters`.",
    ("experimental_configs", "macs"): "Remove it: `macs`, beside `llm_config`, says it.",
}
_LORA = "Remove it: it loads adapters from cloud storage alone. Name folders or repositories in `adapters` of a model."

Reports = Callable[..., Report]


def check_serve(serve: Mapping[str, Any], replicas: object, report: Reports) -> None:
    """`serve` has keys of LLMConfig only, and none that raylab's settings decide."""
    _check_keys(serve, "serve", report)
    deployment = serve.get("deployment_config")
    if isinstance(deployment, Mapping) and "autoscaling_config" in deployment and not isinstance(replicas, dict):
        fix = 'It counts only when the model has "replicas": {"min": …, "max": …}.'
        report("serve", "deployment_config", "autoscaling_config")(Code.ENGINE_ARGUMENT, "`autoscaling_config`", fix)
    for path, setting in _SAID.items():
        if _stands(path, serve):
            report("serve", *path)(Code.ENGINE_ARGUMENT, f"`{path[-1]}`", f"Remove it: {setting} says it.")


def read_config(path: Path, given: str, report: Reports) -> Mapping[str, Any] | None:
    """The file llm_config, as `given` by a person; None when it cannot be used. Everything wrong is reported."""
    at = report("llm_config")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        at(Code.FILE_LACKING, given, "Name a YAML file with one LLMConfig of Ray Serve.")
        return None
    except (OSError, ValueError) as error:
        at(Code.FILE_UNFIT, given, "Make it a readable text file.", str(error))
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        line = f", line {mark.line + 1}" if mark else ""
        at(Code.FILE_UNFIT, given, "Correct the file.", f"it is no YAML: {reason}{line}")
        return None
    if not isinstance(config, dict):
        at(Code.FILE_UNFIT, given, "Write the keys of LLMConfig, model_loading_config first.", "it holds no keys")
        return None
    _check_keys(config, "llm_config", report)
    for path_to, fix in _OURS.items():
        if _stands(path_to, config):
            report("llm_config", *path_to)(Code.ENGINE_ARGUMENT, f"`{path_to[-1]}`", fix)
    loading = config.get("model_loading_config")
    for key in ("model_id", "model_source"):
        if not isinstance(loading, Mapping) or not isinstance(loading.get(key), str):
            fix = f"Write model_loading_config: {{{key}: …}}."
            if key == "model_source":
                fix += " It is a folder on the Macs, which raylab does not fill."
            at(Code.SOURCE_INCOMPLETE, given, fix, f"model_loading_config.{key}")
    return config


def replicas_in(config: Mapping[str, Any], macs: int) -> int | Between:
    """How many replicas an LLMConfig asks for; `macs` is as many as there can be."""
    deployment = config.get("deployment_config")
    deployment = deployment if isinstance(deployment, Mapping) else {}
    scaling = deployment.get("autoscaling_config")
    count = deployment.get("num_replicas")
    if isinstance(scaling, Mapping) or count == "auto":
        scaling = scaling if isinstance(scaling, Mapping) else {"max_replicas": macs}
        least, most = _count(scaling.get("min_replicas")), _count(scaling.get("max_replicas"))
        return {"min": least, "max": max(least, most)}
    return _count(count)


def macs_in(config: Mapping[str, Any]) -> int:
    """How many bundles a replica has."""
    placement = config.get("placement_group_config")
    bundles = placement.get("bundles") if isinstance(placement, Mapping) else None
    return len(bundles) if isinstance(bundles, list) and bundles else 1


def merged(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, dicts within dicts too; where they disagree, `above`."""
    found = dict(base)
    for key, value in above.items():
        below = found.get(key)
        found[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return found


def _stands(path: Sequence[str], config: Mapping[str, Any]) -> bool:
    """Whether the config has something there."""
    found: object = config
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    return found is not None


def _check_keys(config: Mapping[str, Any], setting: str, report: Reports) -> None:
    for key in config:
        if key not in KEYS:
            fix = nearest(str(key), KEYS, f"It has {', '.join(KEYS)}.")
            report(setting, str(key))(Code.LLM_CONFIG_KEY, f"`{key}`", fix)
    if config.get("lora_config") is not None:
        report(setting, "lora_config")(Code.ENGINE_ARGUMENT, "`lora_config`", _LORA)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
