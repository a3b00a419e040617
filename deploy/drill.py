"""Restart every Mac, one after the other, the head last; each shows by a real generation that it serves by itself.

Stops at the first Mac that does not come back. `--limit NAME` restarts only that one.
"""

from roles import drill

drill.macs()
