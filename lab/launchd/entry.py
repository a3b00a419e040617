"""Starts ``init`` (PID 1) or ``launchctl`` with a bare interpreter: ``python -I -S entry.py WHICH …``.

An isolated interpreter does not know where this package is, so the folder above it joins sys.path, at its
end: nothing beside the package may shadow the standard library.
"""

import sys
from importlib import import_module
from os.path import abspath, basename, dirname

MODULES = ("init", "launchctl")


def main() -> int:
    """Run the named program; its exit status, or 64 for a name that is none."""
    package = dirname(abspath(__file__))  # noqa: PTH100, PTH120 (pathlib doubles the start time of launchctl)
    if len(sys.argv) < 2 or sys.argv[1] not in MODULES:
        print(f"Usage: entry.py {'|'.join(MODULES)} [argument ...]", file=sys.stderr)
        return 64
    sys.path.append(dirname(package))  # noqa: PTH120
    module = import_module(f"{basename(package)}.{sys.argv[1]}")  # noqa: PTH119
    return int(module.main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
