"""The last lines of the jobs' logs: `--data lines=100`, `--data job=ray`. Changes nothing."""

from roles import jobs

jobs.logs()
