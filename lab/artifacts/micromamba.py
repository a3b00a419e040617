#!/usr/local/libexec/simulated-mac/python -I
"""micromamba's stand-in on a simulated Mac: what the lab's roles use of it, done by py-rattler.

    micromamba create -y -p PREFIX --offline -f explicit.txt     (file:// URLs, sha256 required)
    micromamba --version

Options that only tell the real one to look at nothing else (-r, --no-rc, --no-env) are accepted. Exit status
1 and one line on stderr when something is wrong; nothing is linked before every package has been verified.
"""

import argparse
import asyncio
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, "/usr/local/libexec/simulated-mac/lib")

VERSION = "2.9.0"


class StandInError(Exception):
    """What the user reads after `error    libmamba`."""


def read_explicit(text: str) -> list[tuple[str, str]]:
    """(URL, sha256) of each package in an explicit environment file."""
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if not wanted or wanted[0] != "@EXPLICIT":
        raise StandInError("only explicit files are supported: the first line must be @EXPLICIT")
    packages = []
    for line in wanted[1:]:
        url, _, digest = line.partition("#")
        if not digest.startswith("sha256:"):
            raise StandInError(f"no sha256 in '{line}'")
        packages.append((url, digest.removeprefix("sha256:")))
    return packages


def verified_file(url: str, sha256: str) -> Path:
    """The local file behind a file:// URL, once its content has been checked."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise StandInError(f"offline, and '{url}' is not a file:// URL")
    path = Path(unquote(parts.path))
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise StandInError(f"cannot read '{path}': {problem.strerror}") from None
    if found != sha256:
        raise StandInError(f"'{path.name}' has sha256 {found}, expected {sha256}")
    return path


def package_index(path: Path) -> bytes:
    """info/index.json of a .tar.bz2 package; the lab's packages begin with it."""
    try:
        with tarfile.open(path, "r:bz2") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name == "info/index.json" else None
                if content:
                    return content.read()
    except (tarfile.TarError, OSError):
        pass
    raise StandInError(f"'{path.name}' is no conda package that the stand-in can read")


def create(prefix: Path, packages: list[tuple[str, str]]) -> None:
    """Links the packages into `prefix`. An environment there is replaced, another folder refused."""
    import rattler

    if prefix.exists() and any(prefix.iterdir()) and not (prefix / "conda-meta").is_dir():
        raise StandInError(f"Non-conda folder exists at prefix '{prefix}'")
    files = [(url, sha256, verified_file(url, sha256)) for url, sha256 in packages]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    # Packages are unpacked on the prefix's own disk, so that linking costs no second copy.
    with tempfile.TemporaryDirectory(dir=prefix.parent, prefix=".micromamba-") as scratch:
        index = Path(scratch) / "index.json"
        records = []
        for url, sha256, path in files:
            index.write_bytes(package_index(path))
            package = rattler.PackageRecord.from_index_json(index, path.stat().st_size, sha256)
            records.append(rattler.RepoDataRecord(package, path.name, url, url.rsplit("/", 2)[0]))
        if prefix.exists():
            shutil.rmtree(prefix)
        cache = Path(scratch) / "pkgs"
        asyncio.run(rattler.install(records, prefix, cache_dir=cache, show_progress=False))


def main(arguments: list[str]) -> int:
    """Runs one command line; the exit status is micromamba's."""
    parser = argparse.ArgumentParser("micromamba")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    options = commands.add_parser("create")
    options.add_argument("-y", "--yes", action="store_true")
    options.add_argument("-p", "--prefix", type=Path, required=True)
    options.add_argument("-r", "--root-prefix", type=Path)
    options.add_argument("-f", "--file", type=Path, required=True)
    for flag in ("--offline", "--no-rc", "--no-env", "-q", "--quiet"):
        options.add_argument(flag, action="store_true")
    given = parser.parse_args(arguments)
    try:
        if not given.offline:
            raise StandInError("the stand-in never uses a network: say --offline")
        if not given.yes and not sys.stdin.isatty():
            raise StandInError("nobody is there to confirm: say -y")
        create(given.prefix.absolute(), read_explicit(given.file.read_text()))
    except (StandInError, OSError) as problem:
        print(f"error    libmamba {problem}", file=sys.stderr)
        return 1
    print("Transaction finished")
    return 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except SystemExit as exiting:
        status = exiting.code if isinstance(exiting.code, int) else 1
    except Exception as problem:
        # py-rattler raises a class per kind of failure, and one of its own for a broken archive.
        print(f"error    libmamba {problem}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # py-rattler's threads sometimes crash the interpreter's orderly end, long after the work is done.
    os._exit(status)
