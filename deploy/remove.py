"""Take a Mac out of the fleet and everything of raylab off it; its own settings become what they were before.

    pyinfra inventory/lab.py deploy/remove.py --limit gamma

`--data keep_weights=1` leaves the weights, for a Mac that comes back. `--data all=1`, without --limit, removes the
fleet. Interrupted, the same command goes on.
"""

from roles import leave, lock

leave.announced()
lock.taken()

leave.stopped()
leave.restored()
leave.taken_away()
leave.farewell(name="What is left to do")
