"""Is the fleet well? Prints a table; `--data report=FILE` writes JSON; exit status 1 when something is wrong.

`--data deep=1` also reads every file of the release and of the weights again: minutes, or hours for large models.
"""

from roles import health

health.report()
