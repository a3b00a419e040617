"""A table of the jobs on every Mac. Changes nothing."""

from roles import jobs

jobs.table()
