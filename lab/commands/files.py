"""Commands on files whose BSD form differs from the Linux one: df, md5, sed, nc, xattr, codesign."""

from __future__ import annotations

import hashlib
import os
import sys

from .answers import REAL, complain, say

PREFIX = "user."
"""Linux keeps what anyone may set under this."""
SIGNED = f"{PREFIX}simulated-mac.signed"
"""The sha256 that a file had when it was signed: a signature is in the file itself on a Mac, so nothing shows it."""


def _attributes(path: str) -> list[str]:
    found = (name for name in os.listxattr(path) if name.startswith(PREFIX) and name != SIGNED)
    return [name.removeprefix(PREFIX) for name in found]


def xattr(arguments: list[str]) -> int:
    """xattr [-lrs] FILE ... | -p NAME FILE ... | -w NAME VALUE FILE ... | -d[r] NAME FILE ... | -c FILE"""
    flags = "".join(word[1:] for word in arguments if word.startswith("-"))
    words = [word for word in arguments if not word.startswith("-")]
    operands = 2 if "w" in flags else 1 if "p" in flags or "d" in flags else 0
    given, paths = words[:operands], words[operands:]
    if not paths:
        return complain("usage: xattr [-l] [-r] [-s] [-v] [-x] file [file ...]", 64)
    status = 0
    for path in paths:
        if not os.path.exists(path):
            status = complain(f"xattr: No such file: {path}")
            continue
        for one in _tree(path) if "r" in flags else [path]:
            prefix = f"{one}: " if len(paths) > 1 or "r" in flags else ""
            status = max(status, _one_file(one, flags, given, prefix))
    return status


def _tree(path: str) -> list[str]:
    found = [path]
    for place, folders, names in os.walk(path):
        found += [f"{place}/{name}" for name in (*folders, *names) if not os.path.islink(f"{place}/{name}")]
    return found


def _one_file(path: str, flags: str, given: list[str], prefix: str) -> int:
    present = _attributes(path)
    if "c" in flags:
        for name in present:
            os.removexattr(path, PREFIX + name)
        return 0
    if "w" in flags:
        os.setxattr(path, PREFIX + given[0], given[1].encode())
        return 0
    if given and given[0] not in present:
        return 0 if "r" in flags else complain(f"xattr: {path}: No such xattr: {given[0]}")
    if "d" in flags:
        os.removexattr(path, PREFIX + given[0])
        return 0
    for name in given or present:
        value = os.getxattr(path, PREFIX + name).decode(errors="replace")
        print(prefix + (value if given else f"{name}: {value}" if "l" in flags else name))
    return 0


def codesign(arguments: list[str]) -> int:
    """codesign -s ID [-f] FILE ... | -v FILE ... | -d FILE ...: bad is what was changed after it was signed here."""
    signing = any(word in ("-s", "--sign") for word in arguments)
    files = [word for word in arguments if not word.startswith("-")]
    if signing:
        files = files[1:] if "-" not in arguments else files
    if not files:
        return complain("Usage: codesign -s identity [-fv*] [-o flags] [-r reqs] [-i ident] path ...", 2)
    status = 0
    for path in files:
        if not os.path.exists(path):
            status = complain(f"{path}: No such file or directory")
        elif signing:
            os.setxattr(path, SIGNED, _sha256(path))
            if "-f" in arguments:
                complain(f"{path}: replacing existing signature")
        elif any(word.startswith("-d") for word in arguments):
            complain(f"Executable={os.path.realpath(path)}\nIdentifier={os.path.basename(path)}\nSignature=adhoc")
        elif SIGNED in os.listxattr(path) and os.getxattr(path, SIGNED) != _sha256(path):
            changed = "invalid signature (code or signature have been modified)"
            status = complain(f"{path}: {changed}\nIn architecture: arm64")
    return status


def _sha256(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def df(arguments: list[str]) -> int:
    """df [-k | -h | -m | -P] [PATH ...]: nine columns, and this Mac's disk whatever is below it."""
    flags = "".join(word[1:] for word in arguments if word.startswith("-"))
    paths = [word for word in arguments if not word.startswith("-")] or ["/"]
    missing = [path for path in paths if not os.path.exists(path)]
    for path in missing:
        complain(f"df: {path}: No such file or directory")
    unit = 1024 if "k" in flags else 1024 * 1024 if "m" in flags else 512
    title = {1024: "1024-blocks", 1024 * 1024: "1M-blocks", 512: "512-blocks"}[unit]
    inodes = "" if "P" in flags else " iused      ifree %iused "
    if "h" in flags:
        print(f"Filesystem        Size    Used   Avail Capacity{inodes} Mounted on")
    else:
        print(f"Filesystem     {title:>12}       Used  Available Capacity{inodes} Mounted on")
    for path in paths:
        if path not in missing:
            print(_disk_row(path, unit, "h" in flags, "P" not in flags))
    return 1 if missing else 0


def _human(size: int) -> str:
    for suffix, power in (("Ti", 4), ("Gi", 3), ("Mi", 2)):
        if size >= 1024**power:
            return f"{size / 1024**power:.0f}{suffix}"
    return f"{size // 1024}Ki"


def _disk_row(path: str, unit: int, human: bool, inodes: bool) -> str:
    facts = os.statvfs(path)
    total, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
    used = total - facts.f_bfree * facts.f_frsize
    sizes = [_human(size) if human else str(size // unit) for size in (total, used, free)]
    capacity = -(-100 * used // (used + free)) if used + free else 100
    row = f"/dev/disk3s1s1 {sizes[0]:>12} {sizes[1]:>10} {sizes[2]:>10} {capacity:>7}%"
    if inodes:
        taken = facts.f_files - facts.f_ffree
        row += f" {taken:>7} {facts.f_ffree:>10} {100 * taken // max(facts.f_files, 1):>5}% "
    return f"{row}  /"


def md5(arguments: list[str]) -> int:
    """md5 [-q | -r] [FILE ...] | -s STRING."""
    if arguments[:1] == ["-s"] and len(arguments) == 2:
        return say(f'MD5 ("{arguments[1]}") = {hashlib.md5(arguments[1].encode()).hexdigest()}')
    files = [word for word in arguments if not word.startswith("-")]
    if not files:
        return say(hashlib.md5(sys.stdin.buffer.read()).hexdigest())
    status = 0
    for path in files:
        try:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        except OSError as error:
            status = complain(f"md5: {path}: {error.strerror}")
            continue
        print(digest if "-q" in arguments else f"{digest} {path}" if "-r" in arguments else f"MD5 ({path}) = {digest}")
    return status


def sed(arguments: list[str]) -> int:
    """sed as on BSD: `-i` takes the next word as the suffix of the backup, '' for none; no long options."""
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and word != "--":
            return complain("sed: illegal option -- -\nusage: sed script [-EHalnru] [-i extension] [file ...]")
        if word in ("-i", "-I", "-Ei", "-ni") and rest:
            words += [f"-{word[1:-1]}"] if len(word) > 2 else []
            words.append(f"-i{rest.pop(0)}")
        elif word in ("-e", "-f") and rest:
            words += [word, rest.pop(0)]
        else:
            words.append(word)
    os.execv(f"{REAL}/sed", ["sed", *words])


def nc(arguments: list[str]) -> int:
    """nc with BSD's -G (seconds to connect), which Linux's calls -w."""
    os.execv(f"{REAL}/nc", ["nc", *("-w" if word == "-G" else word for word in arguments)])
