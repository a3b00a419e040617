"""pfctl: the packet filter's rules and its switch, kept by nftables in this Mac's network namespace."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

from . import pf_rules
from .answers import LOST, REAL, changing, complain, is_root, recall, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAIN = "/etc/pf.conf"
ALTQ = "No ALTQ support in kernel\nALTQ related functions disabled"
FLUSHING = """\
pfctl: Use of -f option, could result in flushing of rules
present in the main ruleset added by the system at startup.
See /etc/pf.conf for further details.
"""
USAGE = "usage: pfctl [-dEenq] [-a anchor] [-F modifier] [-f file] [-s modifier] [-X token]"


def pfctl(arguments: list[str]) -> int:
    """pfctl [-a ANCHOR] [-n] -f FILE|- | -F rules|all | -s rules|info|References | -E | -X TOKEN | -e | -d."""
    options: dict[str, str] = {}
    words = list(arguments)
    while words:
        option = words.pop(0)
        if option in ("-a", "-f", "-F", "-s", "-X") and words:
            options[option] = words.pop(0)
        elif option in ("-n", "-q", "-E", "-e", "-d"):
            options[option] = ""
        else:
            return complain(USAGE)
    if not is_root():
        return complain("pfctl: /dev/pf: Permission denied")
    if "-f" in options and "-q" not in options:
        print(FLUSHING, file=sys.stderr)
    if "-q" not in options:
        print(ALTQ, file=sys.stderr)
    anchor = options.get("-a", "").strip("/")
    if "-s" in options:
        return _show(options["-s"], anchor)
    with changing("pf", LOST) as state:
        state.setdefault("rulesets", _main())
        status = _change(options, anchor, state)
        _enforce(state)
    return status


def _open(path: str) -> str:
    with open(path) as file:
        return file.read()


def _main() -> pf_rules.Rulesets:
    """What macOS loads at every start."""
    return pf_rules.read(_open(MAIN), "", _open)


def _show(what: str, anchor: str) -> int:
    state = recall("pf", LOST)
    if what == "info":
        since = state.get("since")
        if since is None:
            return say("Status: Disabled                              Debug: Urgent")
        passed = time.strftime("%H:%M:%S", time.gmtime(time.time() - since))
        return say(f"Status: Enabled for 0 days {passed}           Debug: Urgent")
    if what == "References":
        tokens = state.get("tokens", {})
        if not tokens:
            return say("No pf starter references held")
        print("TOKENS:\nPID      Process Name                 TOKEN                    TIMESTAMP")
        for token, pid in tokens.items():
            print(f"{pid:<8} {'pfctl':<28} {token:<24} 0 days 00:00:00")
        return 0
    if what != "rules":
        return complain(f"pfctl: Unknown show modifier '{what}'\n{USAGE}")
    ruleset = (state.get("rulesets") or _main()).get(anchor, {"rules": []})
    for rule in ruleset["rules"]:
        for line in pf_rules.shown(rule):
            print(line)
    return 0


def _change(options: dict[str, str], anchor: str, state: dict[str, Any]) -> int:
    if "-F" in options:
        if options["-F"] not in ("rules", "all"):
            return complain(f"pfctl: Unknown flush modifier '{options['-F']}'\n{USAGE}")
        state["rulesets"][anchor] = {"tables": {}, "rules": []}
        print("rules cleared", file=sys.stderr)
    if "-f" in options:
        path = options["-f"]
        try:
            text = sys.stdin.read() if path == "-" else _open(path)
            rulesets = pf_rules.read(text, anchor, _open)
        except OSError as error:
            return complain(
                f"pfctl: {path}: {error.strerror}\npfctl: cannot open the main config file!: {error.strerror}"
            )
        except pf_rules.SyntaxFault as fault:
            where = "stdin" if path == "-" else path
            return complain(f"{where}:{fault}\npfctl: Syntax error in config file: pf rules not loaded")
        if "-n" not in options:
            state["rulesets"] |= rulesets
    return _switch(options, state)


def _switch(options: dict[str, str], state: dict[str, Any]) -> int:
    """-E and -X count who wants it on; -e and -d do not ask."""
    tokens = state.setdefault("tokens", {})
    on = state.get("since") is not None
    if "-e" in options and on:
        return complain("pfctl: pf already enabled")
    if ("-d" in options or "-X" in options) and not on:
        return complain("pfctl: pf not enabled")
    if "-X" in options and options["-X"] not in tokens:
        return complain("pfctl: pf: token invalid")
    if "-E" in options or "-e" in options:
        state["since"] = state.get("since") or time.time()
        print("pf enabled", file=sys.stderr)
    if "-E" in options:
        token = str(random.getrandbits(63) | 1 << 62)
        tokens[token] = os.getpid()
        print(f"Token : {token}", file=sys.stderr)
    if "-X" in options:
        del tokens[options["-X"]]
        if tokens:
            left = f"{len(tokens)} more pf enable reference(s) remaining, pf still enabled."
            return complain(f"disable request successful. {left}", 0)
    if "-d" in options or "-X" in options:
        tokens.clear()
        state["since"] = None
        print("pf disabled", file=sys.stderr)
    return 0


def _enforce(state: dict[str, Any]) -> None:
    """Make the kernel do what the rules say, in one step."""
    script = "table inet pf\ndelete table inet pf\n"
    if state.get("since") is not None:
        script += pf_rules.in_nftables(state["rulesets"])
    subprocess.run([f"{REAL}/nft", "-f", "-"], input=script, text=True, check=True)
