"""What the tests of `make lock` lock: a package index and a conda channel as folders, a folder of inputs."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from depot.lock.__main__ import main

MAC = "cp312-cp312-macosx_11_0_arm64"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(name: str, version: str, requires: Sequence[str] = ()) -> bytes:
    """A wheel with nothing in it but what an installer asks of one. The same bytes each time."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {text}\n" for text in requires)
    files = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return packed.getvalue()


class Index:
    """A package index that uv reads: a folder, with no server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def add(self, name: str, version: str, *tags: str, requires: Sequence[str] = (), salt: str = "") -> None:
        """One wheel for each of the tags; `salt` makes it another file."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        for tag in tags or ("py3-none-any",):
            # A distribution's own name in a Provides-Extra line changes the bytes and nothing else.
            data = wheel(name, version, [*requires, *([f'{name}; extra == "{salt}"'] if salt else [])])
            (folder / f"{name}-{version}-{tag}.whl").write_bytes(data)
        files = sorted(folder.glob("*.whl"))
        links = [f'<a href="{file.name}#sha256={sha256(file.read_bytes())}">{file.name}</a>' for file in files]
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")


class Channel:
    """A conda channel that py-rattler reads: only what its index says, as nothing is fetched."""

    def __init__(self, root: Path, platform: str) -> None:
        self.root, self.platform = root, platform
        self.packages: dict[str, dict[str, object]] = {}
        self.add("unused", "1.0")

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def add(self, name: str, version: str, *depends: str, ending: str = ".tar.bz2") -> None:
        file = f"{name}-{version}-0{ending}"
        self.packages[file] = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": list(depends),
            "subdir": self.platform,
            "sha256": sha256(file.encode()),
        }
        for subdir, packages in ((self.platform, self.packages), ("noarch", {})):
            kinds = {
                "packages": {file: entry for file, entry in packages.items() if file.endswith(".tar.bz2")},
                "packages.conda": {file: entry for file, entry in packages.items() if file.endswith(".conda")},
            }
            path = self.root / subdir / "repodata.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"info": {"subdir": subdir}, "repodata_version": 1, **kinds}))

    def line(self, name: str, version: str, ending: str = ".tar.bz2") -> str:
        """As a lock names the package."""
        file = f"{name}-{version}-0{ending}"
        return f"{self.url}/{self.platform}/{file}#sha256:{sha256(file.encode())}"


class Locks:
    """A folder of inputs and locks."""

    def __init__(self, root: Path, platform: str = "osx-arm64") -> None:
        self.folder = root / platform
        self.folder.mkdir(parents=True)
        self.depot = root / "depot"

    def write(self, name: str, *lines: str) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def lines(self, name: str) -> list[str]:
        """A lock's lines, without the comments that stand alone."""
        return [line for line in (self.folder / name).read_text().splitlines() if not line.startswith("#")]

    def make(self, *options: str) -> int:
        """`make lock` for this folder."""
        return main([str(self.folder), "--depot", str(self.depot), *options])


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server of a folder: its URL, and the paths that are fetched from it."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
