"""Send chat requests at a steady rate to several endpoints until stdin closes; prints one JSON line per request.

Usage: python load.py MODEL REQUESTS_PER_SECOND BASE_URL...
Nothing is retried: every failure is counted.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

PRINTING = threading.Lock()


def ask(client: httpx.Client, url: str, model: str) -> None:
    """One request; its result on stdout."""
    started = time.time()
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    try:
        response = client.post(f"{url}/chat/completions", json=body)
        error = "" if response.status_code == 200 else f"{response.status_code} {response.text[:200]}"
    except httpx.HTTPError as failure:
        error = f"{type(failure).__name__}: {failure}"
    with PRINTING:
        line = {"at": started, "url": url, "seconds": round(time.time() - started, 3), "error": error}
        print(json.dumps(line), flush=True)


def main(model: str, rate: float, urls: list[str]) -> None:
    """Each endpoint gets `rate` requests per second, whether or not earlier ones have been answered."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(max_workers=64) as pool:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            for url in urls:
                pool.submit(ask, client, url, model)
            due += 1 / rate


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
