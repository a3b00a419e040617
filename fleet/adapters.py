"""What a LoRA adapter must be for vLLM to serve it as it was trained, by its adapter_config.json and its tensors.

Read from vLLM 0.27.1's lora/peft_helper.py, with which vllm-metal reads adapters too, and from vllm-metal's
v1/lora/peft_loader.py (at commit 211a1e4). Both say so only when an engine starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleet.kvcache import whole_number
from fleet.values import shown
from fleet.weights import ADAPTER_CONFIG, Weights

# The largest of vllm.config.lora.MaxLoRARanks. What an engine is started with is the smallest that holds its adapters'.
LARGEST_RANK = 512
_MERGE = "Merge it into its model (merge_and_unload of PEFT), and serve that as a model of its own."
_TRAIN = f"Train it with a rank of {LARGEST_RANK} or less, or merge it into its model and serve that as one of its own."


def faults(weights: Weights, metal: bool) -> Iterator[tuple[str, str]]:
    """Each reason why it could not be served, or would be served wrongly, and the way out; none of what is not known.

    `metal` is whether vllm-metal serves it.
    """
    config = weights.config or {}
    if config:
        for name in ("r", "lora_alpha", "target_modules"):
            if name not in config:
                yield f"no `{name}`", f"Name the folder that PEFT saved: its {ADAPTER_CONFIG} says it."
        rank = config.get("r")
        if rank is not None and not whole_number(rank):
            yield f'"r": {shown(rank)}', "It is the adapter's rank, a whole number above 0."
        elif (whole_number(rank) or 0) > LARGEST_RANK:
            yield f'"r": {rank}', _TRAIN
        # vLLM raises for the first two, and reads nothing of the others: it would scale all layers alike.
        for name in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern"):
            if config.get(name):
                yield f'"{name}": {shown(config[name])}', _MERGE
        if config.get("bias", "none") != "none":
            yield f'"bias": {shown(config["bias"])}', _MERGE
    # vllm-metal reads tensors through numpy, which has no such numbers; vllm-metal#690 is the change that mends it.
    if metal and weights.tensors and "BF16" in weights.tensors.by_dtype:
        yield "tensors in BF16", "Save its adapter_model.safetensors in F16 or F32: vllm-metal cannot read BF16."
