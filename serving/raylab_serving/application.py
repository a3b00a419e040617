"""The fleet's Serve applications: one for each model, and one for the entry that knows them all.

Serve takes other arguments of an application for new code and starts all of its replicas anew. So each model is an
application of its own, whose arguments are its LLMConfig and nothing else; and the entry has no arguments at all.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.llm._internal.serve.core.ingress.ingress import make_fastapi_ingress
from ray.serve.llm import LLMConfig, build_llm_deployment

from raylab_serving.ingress import FleetIngress


def model(llm_config: dict[str, Any]) -> Any:  # noqa: ANN401
    """A model's application: its one deployment."""
    return build_llm_deployment(LLMConfig.model_validate(llm_config))


def entry(_arguments: dict[str, Any]) -> Any:  # noqa: ANN401
    """The entry's application. How many there are, and what they know, stands in its `deployments`."""
    return serve.deployment(make_fastapi_ingress(FleetIngress)).bind()
