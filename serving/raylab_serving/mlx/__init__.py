"""mlx-lm as an engine of the fleet, in the replica's own process."""

from typing import Any


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`raylab_serving.mlx:MlxServer`, imported when asked for: the ranks of a ring need neither Serve nor vLLM."""
    if name != "MlxServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from raylab_serving.mlx.server import MlxServer

    return MlxServer
