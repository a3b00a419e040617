"""Power settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from macos.facts import PowerSettings
from macos.quiet import Commands, mac_operation


@mac_operation("power.settings")
def settings(values: Mapping[str, int | str]) -> Commands:
    """Each of `values` (by pmset's names) is set for every power source; those this Mac lacks are skipped."""
    for key in values:
        if not re.fullmatch(r"[a-z]+", key):
            raise OperationValueError(f"{key!r} is not a setting of pmset")
    found = host.get_fact(PowerSettings)
    if unsupported := sorted(set(values) - set(found)):
        host.noop(f"this Mac has no power setting {', '.join(unsupported)}")
    differing = {k: str(v) for k, v in values.items() if k in found and found[k] != str(v)}
    if not differing:
        host.noop("the power settings are as they should be")
        return
    bits = [QuoteString(bit) for pair in differing.items() for bit in pair]
    yield StringCommand("pmset", "-a", *bits)
