"""BSD stat: `stat -f FORMAT FILE ...`, whose letters have nothing in common with GNU's `-c`."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import stat as modes
import sys
import time
from collections.abc import Callable

from .answers import complain

USAGE = "usage: stat [-FLnq] [-f format | -l | -r | -s | -x] [-t timefmt] [file ...]"
DEFAULT = '%d %i %Sp %l %Su %Sg %r %z "%Sa" "%Sm" "%Sc" "%SB" %k %b %#Xf %N'
DATUM = re.compile(r"%([#+\-0 ]*)(\d*)(?:\.(\d+))?([DOUXFS]?)([HML]?)([diplugramcBzbkfvNTYZnt%@])")
TIME_FORMAT = "%b %e %T %Y"


def stat(arguments: list[str]) -> int:
    """Print what each file is; 1 when one is not there."""
    try:
        options, paths = getopt.getopt(arguments, "f:t:FLnqlrsx")
    except getopt.GetoptError as error:
        return complain(f"stat: illegal option -- {error.opt}\n{USAGE}")
    chosen = dict(options)
    template = chosen.get("-f", DEFAULT)
    if "-s" in chosen:
        template = "st_dev=%d st_ino=%i st_mode=%#p st_nlink=%l st_uid=%u st_gid=%g st_size=%z st_mtime=%m"
    if "-x" in chosen:
        template = '  File: "%N"%n  Size: %-11z  FileType: %HT%n'
        template += "  Mode: (%OLp/%.10Sp) Uid: (%5u/%8Su)  Gid: (%5g/%8Sg)"
    status = 0
    for path in paths:
        try:
            facts = os.stat(path) if "-L" in chosen else os.lstat(path)
        except OSError as error:
            status = 1
            if "-q" not in chosen:
                complain(f"stat: {path}: stat: {error.strerror}")
            continue
        text = _fill(template, path, facts, chosen.get("-t", TIME_FORMAT))
        sys.stdout.write(text if "-n" in chosen else f"{text}\n")
    return status


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"({number})"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"({number})"


KINDS: dict[int, tuple[str, str]] = {
    modes.S_IFREG: ("", "Regular File"),
    modes.S_IFDIR: ("/", "Directory"),
    modes.S_IFLNK: ("@", "Symbolic Link"),
    modes.S_IFIFO: ("|", "Fifo File"),
    modes.S_IFSOCK: ("=", "Socket"),
    modes.S_IFCHR: ("", "Character Device"),
    modes.S_IFBLK: ("", "Block Device"),
}
"""File type to its sign after a name and its long name."""


def _number(letter: str, sub: str, facts: os.stat_result) -> int:
    if letter == "p":
        mode = facts.st_mode
        return {"H": mode >> 12, "M": mode >> 9 & 0o7, "L": mode & 0o777}.get(sub, mode)
    values: dict[str, float] = {
        "d": facts.st_dev,
        "i": facts.st_ino,
        "l": facts.st_nlink,
        "u": facts.st_uid,
        "g": facts.st_gid,
        "r": facts.st_rdev,
        "a": facts.st_atime,
        "m": facts.st_mtime,
        "c": facts.st_ctime,
        "B": min(facts.st_mtime, facts.st_ctime),
        "z": facts.st_size,
        "b": facts.st_blocks,
        "k": facts.st_blksize,
    }
    # File flags (f) and generation (v) do not exist on Linux.
    return int(values.get(letter, 0))


def _text(letter: str, sub: str, path: str, facts: os.stat_result, clock: str) -> str:
    """What the S form of a datum prints."""
    kind = modes.S_IFMT(facts.st_mode)
    answers: dict[str, Callable[[], str]] = {
        "p": lambda: modes.filemode(facts.st_mode),
        "u": lambda: _user(facts.st_uid),
        "g": lambda: _group(facts.st_gid),
        "N": lambda: path,
        "T": lambda: KINDS[kind][1 if sub == "H" else 0],
        "Y": lambda: f" -> {os.readlink(path)}" if kind == modes.S_IFLNK else "",
        "Z": lambda: str(facts.st_size),
        "f": lambda: "-",
    }
    if letter in answers:
        return answers[letter]()
    if letter in "amcB":
        return time.strftime(clock, time.localtime(_number(letter, sub, facts)))
    return str(_number(letter, sub, facts))


def _fill(template: str, path: str, facts: os.stat_result, clock: str) -> str:
    def one(found: re.Match[str]) -> str:
        flags, width, precision, form, sub, letter = found.groups()
        if letter in "nt%@":
            return {"n": "\n", "t": "\t", "%": "%", "@": "1"}[letter]
        if form == "S" or letter in "NTYZ":
            text = _text(letter, sub, path, facts, clock)
            # The plain form of a link's target has no arrow.
            text = text if form == "S" or letter != "Y" else text.removeprefix(" -> ")
            text = text[: int(precision)] if precision else text
        else:
            number = _number(letter, sub, facts)
            form = form or ("O" if letter == "p" else "D")
            sign = "#" in flags
            text = {"O": f"{'0' if sign else ''}{number:o}", "X": f"{'0x' if sign else ''}{number:x}"}.get(
                form, str(number)
            )
            text = text.zfill(int(width or 0)) if "0" in flags else text
        return text.ljust(int(width or 0)) if "-" in flags else text.rjust(int(width or 0))

    return DATUM.sub(one, template)
