"""vLLM as a replica of the fleet: on the Macs of the plan, with adapters from disk and its share of the memory.

It refuses what it would not do, instead of answering as if it had not been asked.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Mapping
from typing import Any, get_args

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.core.configs.openai_api_models import CompletionRequest, ErrorInfo, ErrorResponse
from ray.llm._internal.serve.core.protocol import RawRequestInfo
from ray.llm._internal.serve.core.server.llm_server import LLMServer

from raylab_serving import adapters, loading
from raylab_serving.parameters import Api
from raylab_serving.placed import Placed
from raylab_serving.vllm_parameters import refused

Answers = AsyncGenerator[Any, None]
# One of Ray's models of requests, which are those of vLLM.
Request = Any
# Tokens, more than any context has.
_ANY_NUMBER = 2**31 - 1
# How far above VLLM_DP_MASTER_PORT vLLM's Ray executor looks for the port at which a group meets.
_MEETING = 100


class LocalWeights(CallbackBase):  # type: ignore[misc]
    """The weights are on every Mac already.

    Without this each replica starts one more process of 0.7 GB, which imports torch, finds nothing to download,
    and stays.
    """

    async def on_before_node_init(self) -> None:
        """Skip the download."""
        self.ctx.run_init_node = False


class VllmServer(Placed, LLMServer):  # type: ignore[misc]
    """Ray's LLMServer, told what only this Mac knows before its engine starts."""

    async def start(self) -> None:
        """Start the engine; Serve calls the replica running when this returns.

        Raises ValueError for an adapter that cannot be read, and what vLLM raises for a model that it cannot load.
        """
        config = self._llm_config
        given = dict(config.engine_kwargs)
        self._set(memory_settings(_bundle(config), _metal_limit()), given)
        folders = config.experimental_configs.get("adapters")
        if folders:
            self._set(_adapter_settings(folders), given)
        environment = config.get_or_create_callback().ctx.runtime_env["env_vars"]
        environment["VLLM_DP_MASTER_PORT"] = str(_free_port() - _MEETING)
        # vLLM's engine is a process of its own: nothing is known of it but the time it takes.
        with loading.reporting(config.model_id, "loading weights"):
            await super().start()

    async def chat(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """As Ray's LLMServer; an ErrorResponse for what vLLM would ignore though it changes the answer."""
        answers: Answers = _refusal("chat", request) or await super().chat(request, raw_request_info)
        return answers

    async def completions(self, request: Request, raw_request_info: RawRequestInfo | None = None) -> Answers:
        """As `chat`."""
        if request.max_tokens is None:
            request = _filling(request)
        answers: Answers = _refusal("completions", request) or await super().completions(request, raw_request_info)
        return answers

    def _set(self, settings: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Give vLLM these arguments, unless the settings of the model name them."""
        engine = self._llm_config.get_engine_config()
        for name, value in settings.items():
            if name not in given:
                arguments = engine.frontend_kwargs if name == "lora_modules" else engine.engine_kwargs
                arguments[name] = value


class _Filling(CompletionRequest):  # type: ignore[misc]
    """A completion that ends where the context does: its limit is not added to its prompt."""

    def build_tok_params(self, model_config: Any) -> Any:  # noqa: ANN401
        """vLLM's hook, for what a prompt may have."""
        return CompletionRequest.build_tok_params(self.model_copy(update={"max_tokens": None}), model_config)


def _filling(request: Any) -> _Filling:  # noqa: ANN401
    """The request without a limit. vLLM's own completions must have one, or fail once they are written."""
    said = {**vars(request), **(request.model_extra or {}), "max_tokens": _ANY_NUMBER}
    made: _Filling = _Filling.model_construct(request.model_fields_set, **said)
    return made


def _refusal(api: Api, request: Request) -> Answers | None:
    """An answer that says what cannot be done, if there is any."""
    found = refused(api, request)
    if not found:
        return None

    async def answer() -> Answers:
        yield ErrorResponse(
            error=ErrorInfo(
                message="; ".join(found.values()), type="invalid_request_error", param=next(iter(found)), code=400
            )
        )

    return answer()


def memory_settings(bundle: Mapping[str, float], limit: int | None) -> dict[str, Any]:
    """Which part of the GPU's memory is this engine's: what the plan counted for it, in vLLM's terms.

    By default an engine plans its KV cache as if it had the Mac for itself, which two engines cannot both do.
    `limit` is what Metal lets programs use, in bytes; without Metal, or a planned need, vLLM decides.
    """
    need = bundle.get("memory")
    if not need or not limit:
        return {}
    return {"gpu_memory_utilization": min(need / limit, 1.0)}


def _adapter_settings(folders: Mapping[str, str]) -> dict[str, Any]:
    from vllm.config.lora import MaxLoRARanks
    from vllm.entrypoints.openai.models.protocol import LoRAModulePath

    modules = [LoRAModulePath(name=name, path=folder) for name, folder in folders.items()]
    return {**adapters.engine_settings(folders, get_args(MaxLoRARanks)), "lora_modules": modules}


def _free_port() -> int:
    """One that nobody on this Mac has. Left alone every group takes port 100: of two that start at once one fails."""
    with socket.create_server(("", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _bundle(config: Any) -> Mapping[str, float]:  # noqa: ANN401
    """What the Mac of this replica gives it."""
    placement = config.placement_group_config or {}
    bundle: Mapping[str, float] = placement.get("bundle_per_worker") or (placement.get("bundles") or [{}])[0]
    return bundle


def _metal_limit() -> int | None:
    """What Metal lets programs use on this Mac, in bytes; None without Metal."""
    try:
        import mlx.core as mx
    except ImportError:
        return None
    return int(mx.device_info()["max_recommended_working_set_size"]) if mx.metal.is_available() else None
