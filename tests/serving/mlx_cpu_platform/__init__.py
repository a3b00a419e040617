"""A platform of vLLM for tests: its CPU, placed by Ray's resource `mlx` as vllm-metal places its GPU.

vLLM's own CPU platform names no resource, and its Ray executor refuses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "mlx_cpu"


def install(folder: Path) -> None:
    """Make vLLM find the platform wherever this folder is in PYTHONPATH, beside that of this package."""
    about = folder / "mlx_cpu_platform-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mlx-cpu-platform\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[vllm.platform_plugins]\n{NAME} = mlx_cpu_platform:register\n")


def register() -> str:
    """vLLM's hook: the platform's class."""
    return "mlx_cpu_platform.platform.MlxCpuPlatform"


def patch_worker() -> None:
    """Ray's hook, in every worker before its first call: vllm_metal.compat._patch_ray_distributed, for this platform.

    Ray does not list custom resources among accelerators. And without compilation vLLM's CPU runner never makes the
    buffer for what the stage before it sends.
    """
    import ray
    from vllm.distributed import get_pp_group
    from vllm.v1.executor.ray_executor_v2 import RayWorkerProc
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    load = CPUModelRunner.load_model

    def load_model(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        load(self, *arguments, **options)
        if not get_pp_group().is_first_rank:
            self.intermediate_tensors = self.model.make_empty_intermediate_tensors(
                batch_size=self.max_num_tokens, dtype=self.model_config.dtype, device=self.device
            )

    CPUModelRunner.load_model = load_model
    RayWorkerProc.get_node_and_physical_gpu_ids = lambda _self: (ray.get_runtime_context().get_node_id(), [0])
