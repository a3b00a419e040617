"""Stop the service; it stays stopped over a reboot, until deploy/start.py or deploy/cluster.py."""

from roles import jobs, lock

lock.taken()
jobs.stop()
