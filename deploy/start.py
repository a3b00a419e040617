"""Start the service where it was stopped."""

from roles import jobs, lock

lock.taken()
jobs.start()
