"""A Hugging Face hub on loopback: the routes that its client asks for a model, and what goes wrong with them.

Large files are elsewhere, as on the real one: the hub redirects to a second server, which tells nothing of tokens.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from depot_server import Server, serving, sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "max_position_embeddings": 1024}
# From here on a file is kept outside of git.
LARGE = 1000


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def model_files(weights: bytes = b"weights" * 1000) -> dict[str, bytes]:
    """What publishers put into a repository: more than an engine needs."""
    return {
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "README.md": b"# A model\n",
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": weights,
        "onnx/model.safetensors": b"for another engine" * 100,
        "pytorch_model.bin": b"the same weights again" * 100,
        "tokenizer.json": b'{"version": "1.0"}',
        "vocab/merges.txt": b"a b\n",
    }


ENGINE_FILES = ["config.json", "model.safetensors", "tokenizer.json", "vocab/merges.txt"]


@dataclass
class Repo:
    """One repository; its commits' files by name."""

    commits: dict[str, dict[str, bytes]]
    private: bool = False
    token: str = ""
    """Without it, only the listing is shown, as for a gated repository."""
    swapped: dict[str, bytes] = field(default_factory=dict)
    """What is sent instead of what was listed."""


class Hub:
    """Repositories by name, and what was asked of them."""

    def __init__(self, cdn: Server) -> None:
        self.cdn = cdn
        self.repos: dict[str, Repo] = {}
        self.asked: list[str] = []
        """Paths of all requests."""
        self.tokens: list[str] = []
        """What stood in their Authorization headers."""
        self.statuses: list[int] = []
        """What the next requests are answered with."""
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], commit: str = COMMIT) -> Repo:
        """A commit with these files."""
        repo = self.repos.setdefault(name, Repo({}))
        repo.commits[commit] = files
        return repo

    def sent(self, data: bytes) -> int:
        """Bytes that were sent of a large file."""
        return self.cdn.sent.get(f"/cdn/{sha256(data)}", 0)

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                outer.asked.append(path)
                outer.tokens.append(self.headers.get("Authorization", ""))
                api = re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path)
                file = re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path)
                if outer.statuses:
                    self._answer(outer.statuses.pop(0))
                elif found := api or file:
                    repo = outer.repos.get(found[1])
                    if repo is None:
                        self._answer(401, {"X-Error-Code": "RepoNotFound"})
                    elif found[2] not in repo.commits:
                        self._answer(404, {"X-Error-Code": "RevisionNotFound"})
                    elif api:
                        self._list(found[1], repo, found[2])
                    else:
                        self._file(repo, found[2], found[3])
                else:
                    self._answer(404)

            do_HEAD = do_GET

            def _list(self, name: str, repo: Repo, commit: str) -> None:
                siblings = []
                for path, data in repo.commits[commit].items():
                    one: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": blob_id(data)}
                    if len(data) >= LARGE:
                        one["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
                    siblings.append(one)
                info = {"id": name, "sha": commit, "private": repo.private, "gated": False, "siblings": siblings}
                self._answer(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

            def _file(self, repo: Repo, commit: str, path: str) -> None:
                listed = repo.commits[commit][path]
                data = repo.swapped.get(path, listed)
                if repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
                    self._answer(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
                elif len(listed) >= LARGE:
                    place = f"/cdn/{sha256(listed)}"
                    outer.cdn.files[place] = data
                    linked = {"X-Linked-Etag": f'"{sha256(listed)}"', "X-Linked-Size": str(len(listed))}
                    self._answer(302, {"Location": outer.cdn.url + place, "X-Repo-Commit": commit, **linked})
                else:
                    self._answer(200, {"ETag": f'"{blob_id(listed)}"', "X-Repo-Commit": commit}, data)

            def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def running() -> Iterator[Hub]:
    """A hub, and the server that its large files come from."""
    with serving() as cdn:
        hub = Hub(cdn)
        hub.http.daemon_threads = True
        thread = threading.Thread(target=hub.http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.http.shutdown()
            hub.http.server_close()
            thread.join()
