"""Shell for a Mac: a readable script per concern, sent over stdin.

A command line shows in `ps`, in pyinfra's output and in its debug log; stdin shows in none of them. So a
command is just `sh -s SCRIPT SUBJECT…`; what it works with (`scripts/`, quoted contents) is its stdin.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from pyinfra.api.command import QuoteString, StringCommand

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""Where a Mac has its own commands. A person may have others of the same names before them, which answer otherwise."""
_SCRIPTS = Path(__file__).parent / "scripts"


@cache
def _library(name: str) -> str:
    return (_SCRIPTS / f"{name}.sh").read_text()


def script_program(
    scripts: Sequence[str],
    function: str,
    calls: Iterable[Sequence[str]],
    variables: Mapping[str, str | int | float],
) -> str:
    """A program for later: `function` of `scripts` is given another one, which makes all `calls`, failing or not."""
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    each = [f"    ({shlex.join(call)})" for call in calls]
    return "\n".join([*map(_library, scripts), *lines, "calls() {", *each, "}", f"{function} calls", ""])


def script_command(
    scripts: Sequence[str],
    calls: Iterable[Sequence[str]],
    subjects: Iterable[str],
    variables: Mapping[str, str | int | float] | None = None,
) -> StringCommand:
    """A command that runs `calls`, each a function of `scripts` with arguments, up to the first failure.

    `variables` are set before the calls. `subjects` (paths, labels; never contents) are on the command line,
    for people reading along. Everything is in one function that is called on the last line, so half a script
    (the connection broke) does nothing, and it reads /dev/null, so no command can eat the rest of it.
    """
    lines = [f"    {name}={shlex.quote(str(value))}" for name, value in (variables or {}).items()]
    lines += [f"    {shlex.join(call)} || exit" for call in calls]
    body = "\n".join(lines)
    text = "\n".join([*map(_library, scripts), f"main() {{\n{body}\n}}", "main </dev/null", ""])
    return StringCommand("sh", "-s", scripts[-1], *(QuoteString(s) for s in subjects), _stdin=text)
