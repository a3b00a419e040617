"""Restart Ray, one Mac after the other; the next one waits until the last one serves again."""

from roles import jobs, lock

lock.taken()
jobs.restart()
