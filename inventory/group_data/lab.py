"""What the three simulated Macs serve: a tiny model that the lab makes itself."""

models = [
    {
        "id": "tiny",
        "source": ".lab/artifacts/models/tiny",
        "replicas": "all",
        "context": 512,
        "concurrency": 4,
        "env": {
            # GB; by default vLLM would take half of the machine, three times.
            "VLLM_CPU_KVCACHE_SPACE": "1",
            # Left alone, every engine binds itself to the same first core.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            # Sampling would compile a kernel with a C++ compiler, which a Mac of the lab does not have.
            "TORCHDYNAMO_DISABLE": "1",
        },
        "engine_kwargs": {"enforce_eager": True},
    },
]
