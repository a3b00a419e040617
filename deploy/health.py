"""Is the fleet well? Prints a table; `--data report=FILE` writes JSON; exit status 1 when something is wrong."""

from roles import health

health.report()
