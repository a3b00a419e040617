"""Send chat requests at a steady rate to several endpoints until stdin closes; prints one JSON line per request.

Usage: python load.py MODEL REQUESTS_PER_SECOND BASE_URL...
Nothing is retried: every failure is counted.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

PRINTING = threading.Lock()
TIMEOUT_S = 60


def ask(url: str, model: str) -> None:
    """One request over a connection of its own; its result on stdout."""
    started = time.time()
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            error = "" if json.load(response)["usage"]["completion_tokens"] else "no tokens"
    except urllib.error.HTTPError as failure:
        error = f"{failure.code} {failure.read().decode(errors='replace')[:300]}"
    except (OSError, ValueError, KeyError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    line = {"at": started, "url": url, "seconds": round(time.time() - started, 3), "error": error}
    with PRINTING:
        print(json.dumps(line), flush=True)


def main(model: str, rate: float, urls: list[str]) -> None:
    """Each endpoint gets `rate` requests per second, whether or not earlier ones have been answered."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    with ThreadPoolExecutor(max_workers=64) as pool:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            for url in urls:
                pool.submit(ask, url, model)
            due += 1 / rate


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
