"""Shell text run for real: under bash and dash, below a folder instead of /opt/raylab, with a Mac's own commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.commands import COMMANDS
from macos.shell import script_command

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/opt/raylab"


class BsdShell:
    """One shell whose `commands` answer as on a Mac (the lab's stand-ins) and whose /opt/raylab is a folder."""

    def __init__(self, name: str, folder: Path, commands: tuple[str, ...]) -> None:
        self.name = name
        self.bin = folder / "bin"
        self.prefix = folder / "raylab"
        self.bin.mkdir()
        self.prefix.mkdir()
        for command in commands:
            path = next(path for path in COMMANDS if path.endswith(f"/{command}"))
            module, _, function = COMMANDS[path].partition(":")
            program = f"import sys; sys.path.append({str(ROOT)!r}); from lab.commands.{module} import {function}"
            self.command(command, f'exec {sys.executable} -IS -c "{program}; sys.exit({function}(sys.argv[1:]))" "$@"')

    def command(self, name: str, body: str) -> None:
        """Put a program of that name in front of all others."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, text: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as pyinfra does: it is on the shell's command line, for `ps` to see."""
        return subprocess.run(
            [self.name, "-c", text.replace(PREFIX, str(self.prefix))],
            input=stdin.replace(PREFIX, str(self.prefix)),
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def fact(self, kind: type[Any], **arguments: object) -> Any:  # noqa: ANN401 (each its own)
        """What a fact says of the folder."""
        fact = kind()
        done = self.run(fact.command(**arguments))
        assert (done.returncode, done.stderr) == (0, "")
        return fact.process(done.stdout.replace(str(self.prefix), PREFIX).splitlines())

    def script(self, scripts: list[str], calls: list[list[str]], **variables: str | int) -> tuple[int, str]:
        """Exit status and errors of a script of macos/scripts."""
        command = script_command(scripts, calls, [], variables)
        done = self.run(f"{self.name} -s script", str(command.connector_arguments["_stdin"]))
        assert done.stdout == ""
        return done.returncode, done.stderr.replace(str(self.prefix), PREFIX)
