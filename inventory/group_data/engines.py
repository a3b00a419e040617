"""One model on two Macs by vLLM, one by mlx-lm on one Mac or two as requests come, one over two Macs at once."""

# The same fleet as lab.py's: Ray's state belongs to it.
fleet_name = "lab"

models = [
    {
        "id": "tiny",
        "aliases": ["gpt-4o"],
        "source": ".lab/artifacts/models/tiny",
        "replicas": 2,
        "macs": ["alpha", "beta"],
        "context": 512,
        "concurrency": 4,
        # As in lab.py.
        "env": {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "TORCHDYNAMO_DISABLE": "1",
        },
        "engine_kwargs": {"enforce_eager": True},
    },
    {
        "id": "tiny-mlx",
        "source": ".lab/artifacts/models/tiny",
        "engine": "mlx",
        "replicas": {"min": 1, "max": 2},
        "macs": ["alpha", "gamma"],
        "context": 512,
        "concurrency": 2,
        "queue": 4,
        # Minutes are right for large models, and too long for tests.
        "serve": {"deployment_config": {"autoscaling_config": {"upscale_delay_s": 3, "downscale_delay_s": 20}}},
    },
    {
        "id": "tiny-ring",
        "source": ".lab/artifacts/models/tiny",
        "engine": "mlx",
        "shape": 2,
        "macs": ["beta", "gamma"],
        "context": 512,
        "concurrency": 4,
    },
]
