"""What runs inside Ray's replicas: found through PYTHONPATH, named in the Serve config."""

from ray.llm._internal.common.callbacks.base import CallbackBase


class LocalWeights(CallbackBase):
    """The weights are on every Mac already.

    Without this each replica starts one more process of 0.7 GB, which imports torch, finds nothing to download,
    and stays.
    """

    async def on_before_node_init(self) -> None:
        """Skip the download."""
        self.ctx.run_init_node = False
