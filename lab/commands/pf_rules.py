"""Rules of pf: read in pf.conf's syntax, shown as pfctl shows them, and said again in nftables' words.

Of that syntax, what stands in macOS's own files and what raylab writes. Anything else is a syntax error, although a
Mac may know it.
"""

from __future__ import annotations

import ipaddress
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Rule = dict[str, Any]
    Rulesets = dict[str, dict[str, Any]]

_WORD = re.compile(r'"[^"\n]*"|[{},!<>=]|[^\s{},!<>="]+')
_OTHER_ANCHORS = ("nat-anchor", "rdr-anchor", "dummynet-anchor")
_INTERFACES = {"lo0": "lo"}


class SyntaxFault(Exception):
    """A line that pf does not take."""


class _Words:
    """The words of one line, one after the other."""

    def __init__(self, line: str) -> None:
        self.words = _WORD.findall(line)

    def take(self, *wanted: str) -> str:
        """The next word, if it is one of these."""
        return self.words.pop(0) if self.words and self.words[0] in wanted else ""

    def need(self, *wanted: str) -> str:
        """The next word, which must be one of these, or anything when none is named."""
        if not self.words or (wanted and self.words[0] not in wanted):
            raise SyntaxFault
        word: str = self.words.pop(0)
        return word

    def text(self) -> str:
        """The next word, which must be in quotes."""
        word = self.need()
        if not word.startswith('"'):
            raise SyntaxFault
        return word[1:-1]

    def listed(self) -> list[str]:
        """The next word, or several in braces."""
        if not self.take("{"):
            return [self.need()]
        words = []
        while not self.take("}"):
            words.append(self.need())
            self.take(",")
        return words


def read(text: str, name: str, load: Callable[[str], str]) -> Rulesets:
    """The rulesets that a file describes, by anchor: its own, called `name`, and those that it loads with `load`.

    Raises SyntaxFault with what pfctl says.
    """
    rules: Rulesets = {name: {"tables": {}, "rules": []}}
    for number, line in enumerate(text.splitlines(), 1):
        words = _Words(line.partition("#")[0])
        try:
            if words.take("load"):
                words.need("anchor")
                anchor = words.text()
                words.need("from")
                rules |= read(load(words.text()), anchor, load)
            elif words.words:
                _statement(words, rules[name])
            if words.words:
                raise SyntaxFault
        except (SyntaxFault, ValueError):
            raise SyntaxFault(f"{number}: syntax error") from None
    return rules


def _statement(words: _Words, ruleset: dict[str, Any]) -> None:
    kind = words.need("table", "block", "anchor", "scrub-anchor", *_OTHER_ANCHORS)
    if kind == "table":
        words.need("<")
        name = words.need()
        words.need(">")
        while words.take("const", "persist"):
            pass
        ruleset["tables"][name] = [str(ipaddress.ip_network(each)) for each in words.listed()]
    elif kind == "block":
        rule = _block(words)
        if rule.get("table", "") not in ("", *ruleset["tables"]):
            raise SyntaxFault
        ruleset["rules"].append(rule)
    else:
        ruleset["rules"].append({"kind": kind, "name": words.text()})
        words.take("all")


def _block(words: _Words) -> Rule:
    """block [drop|return] in quick [on [!] IF] [inet|inet6] proto P from HOST to any port PORTS [label TEXT]."""
    rule: Rule = {"kind": "block", "how": words.take("drop", "return") or "drop"}
    words.need("in")
    # pf takes rules without: there the last one that matches counts.
    words.need("quick")
    if words.take("on"):
        rule["not_on"] = bool(words.take("!"))
        rule["on"] = words.need()
    rule["family"] = words.take("inet", "inet6")
    words.need("proto")
    rule["proto"] = words.need("tcp", "udp")
    words.need("from")
    rule["not_from"] = bool(words.take("!"))
    if words.take("<"):
        rule["table"] = words.need()
        words.need(">")
    elif rule["not_from"] or not words.take("any"):
        raise SyntaxFault
    words.need("to")
    words.need("any")
    words.need("port")
    rule["ports"] = [[int(end) for end in each.split(":")] for each in words.listed()]
    rule["label"] = words.text() if words.take("label") else ""
    if any(len(ends) > 2 or not all(0 < end < 65536 for end in ends) for ends in rule["ports"]):
        raise SyntaxFault
    return rule


def shown(rule: Rule) -> list[str]:
    """A rule as `pfctl -s rules` prints it: one line for each of its ports; those of translation are not rules."""
    if rule["kind"] == "anchor":
        return [f'anchor "{rule["name"]}" all']
    if rule["kind"] == "scrub-anchor":
        return [f'scrub-anchor "{rule["name"]}" all fragment reassemble']
    if rule["kind"] in _OTHER_ANCHORS:
        return []
    on = f"on {'! ' * rule['not_on']}{rule['on']} " if "on" in rule else ""
    host = f"{'! ' * rule['not_from']}<{rule['table']}>" if "table" in rule else "any"
    family = f"{rule['family']} " if rule["family"] else ""
    start = f"block {rule['how']} in quick {on}{family}proto {rule['proto']} from {host} to any port "
    label = f' label "{rule["label"]}"' if rule["label"] else ""
    ports = (":".join(map(str, ends)) if len(ends) > 1 else f"= {ends[0]}" for ends in rule["ports"])
    return [f"{start}{port}{label}" for port in ports]


def evaluated(rulesets: Rulesets) -> list[tuple[str, Rule]]:
    """The blocking rules that the main ruleset leads to, in order, each with its anchor."""
    found: list[tuple[str, Rule]] = []

    def follow(anchor: str) -> None:
        for rule in rulesets[anchor]["rules"]:
            if rule["kind"] == "block":
                found.append((anchor, rule))
            elif rule["kind"] == "anchor":
                inner = f"{anchor}/{rule['name']}".lstrip("/")
                if inner.endswith("/*"):
                    below = [name for name in rulesets if name.rpartition("/")[0] == inner[:-2]]
                else:
                    below = [name for name in rulesets if name == inner]
                for name in sorted(below):
                    follow(name)

    follow("")
    return found


def in_nftables(rulesets: Rulesets) -> str:
    """A table of nftables that does the same to what comes in, for `nft -f`."""
    lines = ["table inet pf {"]
    for place, ruleset in enumerate(rulesets.values()):
        for name, addresses in ruleset["tables"].items():
            for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
                inside = [each for each in addresses if (":" in each) == (family == "6")]
                elements = f"elements = {{ {', '.join(inside)} }}; " if inside else ""
                lines.append(f" set t{place}_{name}_{family} {{ type {kind}; flags interval; auto-merge; {elements}}}")
    lines.append(" chain input { type filter hook input priority 0; policy accept;")
    places = {anchor: place for place, anchor in enumerate(rulesets)}
    for anchor, rule in evaluated(rulesets):
        lines += [f"  {line}" for line in _nft_lines(rule, f"t{places[anchor]}_{rule.get('table')}")]
    return "\n".join([*lines, " }", "}", ""])


def _nft_lines(rule: Rule, table: str) -> list[str]:
    """pf has one rule for both families, nftables one for each."""
    on = ""
    if "on" in rule:
        on = f'iifname {"!= " * rule["not_on"]}"{_INTERFACES.get(rule["on"], rule["on"])}" '
    verdict = "drop"
    if rule["how"] == "return":
        verdict = "reject with tcp reset" if rule["proto"] == "tcp" else "reject"
    ports = ", ".join("-".join(map(str, ends)) for ends in rule["ports"])
    lines = []
    for family, kind, sign in (("inet", "ip", "4"), ("inet6", "ip6", "6")):
        if rule["family"] in ("", family):
            protocol = f"meta nfproto ipv{sign} "
            host = f"{kind} saddr {'!= ' * rule['not_from']}@{table}_{sign} " if "table" in rule else ""
            lines.append(f"{on}{protocol}{host}{rule['proto']} dport {{ {ports} }} {verdict}")
    return lines
