"""The tiny model by both engines, on one Mac."""

# The clients ask Serve itself, past the door.
firewall = False

models = [
    {
        "id": "tiny",
        "source": ".lab/artifacts/models/tiny",
        "context": 512,
        "concurrency": 32,
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
        "context": 512,
        "concurrency": 32,
    },
]
