"""The class that vLLM makes: imported by it, when it is ready for that."""

from __future__ import annotations

from typing import Any

from ray.runtime_env import RuntimeEnv
from vllm.platforms.cpu import CpuPlatform


class MlxCpuPlatform(CpuPlatform):
    """A CPU that Ray hands out as `mlx`."""

    ray_device_key = "mlx"
    device_control_env_var = "MLX_CPU_VISIBLE_DEVICES"

    @classmethod
    def check_and_update_config(cls, vllm_config: Any) -> None:  # noqa: ANN401
        super().check_and_update_config(vllm_config)
        parallel = vllm_config.parallel_config
        if parallel.distributed_executor_backend == "ray":
            given = dict(parallel.ray_runtime_env or {})
            hook = {"worker_process_setup_hook": "mlx_cpu_platform.patch_worker"}
            parallel.ray_runtime_env = RuntimeEnv(**{**given, **hook})
