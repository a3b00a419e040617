"""libtorrent as the reference: as well tuned as we could, nobody discovered, everybody told of everybody.

As a program it is one node: `python -m benchmarks.fanout.torrent`, what it is to do as JSON on stdin.
Nodes run under this machine's Python in the Macs' network namespaces, and write to this machine's folders.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import libtorrent

from benchmarks.fanout import macs
from lab import network

PORT = 6881
PIECE = 256 * 1024
CONNECT_S = 30.0
FOLDER = macs.WORK / "torrent"


def settings(address: str, nodes: int) -> dict[str, Any]:
    """What was measured to be best for few nodes that are all on one LAN."""
    requests = max(16, 128 // nodes)
    discovery = ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp")
    utp = ("enable_incoming_utp", "enable_outgoing_utp")
    return {
        **dict.fromkeys((*discovery, *utp, "smooth_connects", "close_redundant_connections"), False),
        "listen_interfaces": f"{address}:{PORT}",
        "whole_pieces_threshold": 0,
        "max_out_request_queue": requests,
        "max_allowed_in_request_queue": requests,
        "unchoke_slots_limit": -1,
        "max_queued_disk_bytes": 4 * macs.MIB,
        "out_enc_policy": libtorrent.enc_policy.pe_disabled,
        "in_enc_policy": libtorrent.enc_policy.pe_disabled,
        "alert_mask": libtorrent.alert.category_t.status_notification
        | libtorrent.alert.category_t.storage_notification,
    }


def make(file: Path) -> Path:
    """The .torrent of a file."""
    files = libtorrent.list_files(str(file))
    torrent = libtorrent.create_torrent(files, piece_size=PIECE, flags=libtorrent.create_torrent.v1_only)
    libtorrent.set_piece_hashes(torrent, str(file.parent))
    path = file.with_suffix(".torrent")
    path.write_bytes(libtorrent.bencode(torrent.generate()))
    return path


def node(order: dict[str, Any]) -> None:
    """One node: listens, connects, fetches, each when told to; says `done` when the file is on its disk."""
    session = libtorrent.session(cast("libtorrent.settings_pack", settings(order["address"], order["nodes"])))
    parameters = libtorrent.load_torrent_file(order["torrent"])
    parameters.save_path = order["folder"]
    flags = libtorrent.torrent_flags
    parameters.flags = flags.seed_mode if order["seed"] else flags.upload_mode
    torrent = session.add_torrent(parameters)
    _say_and_wait("listening")
    for peer in order["connects"]:
        torrent.connect_peer((peer, PORT))
    deadline = time.monotonic() + CONNECT_S
    while torrent.status().num_peers < order["nodes"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"{order['address']}: not every peer is connected")
        time.sleep(0.01)
    _say_and_wait("connected")
    torrent.unset_flags(flags.upload_mode)
    finished = order["seed"]
    while not finished:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            # Finished is said before all is written.
            if isinstance(alert, libtorrent.torrent_finished_alert):
                torrent.flush_cache()
            finished = finished or isinstance(alert, libtorrent.cache_flushed_alert)
    print("done", flush=True)
    sys.stdin.read()


def _say_and_wait(what: str) -> None:
    print(what, flush=True)
    sys.stdin.readline()


@contextmanager
def _nodes(torrent: Path, names: Sequence[str]) -> Iterator[list[subprocess.Popen[str]]]:
    addresses: dict[str | None, str] = {None: network.HOST_ADDRESS, **{name: macs.address(name) for name in names}}
    running: list[subprocess.Popen[str]] = []
    connects: list[str] = []
    try:
        for name, address in addresses.items():
            folder = FOLDER / name if name else torrent.parent
            folder.mkdir(parents=True, exist_ok=True)
            order = {
                "address": address,
                "folder": str(folder),
                "torrent": str(torrent),
                "nodes": len(names),
                "seed": not name,
                "connects": connects,
            }
            there = ["ip", "netns", "exec", network.namespace(name)] if name else []
            command = [*there, sys.executable, "-m", __spec__.name]
            process = subprocess.Popen(command, cwd=macs.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.append(process)
            connects = [*connects, address]
            _tell(process, json.dumps(order))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    if (said := process.stdout.readline().strip()) != line:
        raise SystemExit(f"libtorrent: {line!r} was expected, not {said!r}")


def send(torrent: Path, names: Sequence[str]) -> float:
    """Seconds from when all nodes are connected until the file is on every disk."""
    with _nodes(torrent, names) as running:
        for said in ("listening", "connected"):
            for process in running:
                _hear(process, said)
            began = time.monotonic()
            for process in running:
                _tell(process, "go on")
        for process in running:
            _hear(process, "done")
        return time.monotonic() - began


def check_and_remove(names: Sequence[str], file: Path, sha256: str) -> None:
    """Raises SystemExit unless each node wrote the file; then removes it."""
    for name in names:
        with (FOLDER / name / file.name).open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
                raise SystemExit(f"libtorrent: {copy.name} is not what was sent")
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    node(json.loads(sys.stdin.readline()))
