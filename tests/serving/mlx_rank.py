"""One rank of a ring on loopback, as a program: says that it is there, and begins when it is told to.

Rank 0 prints what the model makes of some jobs, as JSON, and ends the engine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from tempfile import NamedTemporaryFile

import mlx.core as mx
from mlx_jobs import options, tokens_of_all
from raylab_serving.mlx.engine import Engine


def main() -> None:
    """Arguments: the rank, the port of the ring, the model's folder, further options as JSON."""
    rank, port, path, further = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
    print("ready", flush=True)
    sys.stdin.readline()
    with NamedTemporaryFile("w", suffix=".json") as hosts:
        json.dump([[f"127.0.0.1:{port + number}"] for number in range(2)], hosts)
        hosts.flush()
        os.environ |= {"MLX_RANK": str(rank), "MLX_HOSTFILE": hosts.name}
        mx.distributed.init(strict=True, backend="ring")
    engine = Engine(options(path, **further))
    if rank == 0:
        found = asyncio.run(tokens_of_all(engine))
        print(json.dumps(found), flush=True)
        engine.stop()
    engine.join()
    if engine.failure is not None:
        raise engine.failure
    print(json.dumps(asdict(engine.counters)), flush=True)
    # mlx's own threads would end the process with an error.
    os._exit(0)


if __name__ == "__main__":
    main()
