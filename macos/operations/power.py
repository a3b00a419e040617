"""Power settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyinfra.api.exceptions import OperationValueError
from pyinfra.context import host

from fleet.before import POWER
from macos.facts import PowerSettings
from macos.facts.before import Before
from macos.facts.host import PowerSources
from macos.operations.before import changing, restoring
from macos.quiet import Commands, mac_operation


@mac_operation("power.settings")
def settings(values: Mapping[str, int | str]) -> Commands:
    """Each of `values` (by pmset's names) is set for every power source; those this Mac lacks are skipped.

    What each was before is recorded first.
    """
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
    kept = [
        ["kept", f"{POWER}{flag[1:]}.{key}", source[key], value]
        for flag, source in host.get_fact(PowerSources).items()
        for key, value in differing.items()
        if source.get(key, value) != value
    ]
    words = ["pmset", "-a", *(word for pair in differing.items() for word in pair)]
    yield changing([*kept, words], words)


@mac_operation("power.restored")
def restored() -> Commands:
    """Every power setting that raylab changed is what it was, unless somebody has changed it since."""
    records = {name: each for name, each in host.get_fact(Before).items() if name.startswith(POWER)}
    if not records:
        host.noop("no power setting was changed")
        return
    sources = host.get_fact(PowerSources)
    calls: list[list[str]] = []
    for name, record in records.items():
        source, _, key = name.removeprefix(POWER).partition(".")
        now = sources.get(f"-{source}", {}).get(key, "")
        calls += restoring(name, record, now, [["pmset", f"-{source}", key, record.was]])
    yield changing(calls, list(records))
