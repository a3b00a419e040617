"""The tiny model by mlx-lm on every Mac; the environment's LOCKS names another release of the lab's."""

import os

# The same fleet as lab.py's: Ray's state belongs to it.
fleet_name = "lab"
locks = f".lab/artifacts/{os.environ.get('LOCKS', 'locks')}"

models = [
    {
        "id": "tiny",
        "source": ".lab/artifacts/models/tiny",
        "engine": "mlx",
        "replicas": "all",
        "context": 16384,
        "concurrency": 8,
    },
]
