"""Back to what was before the last upgrade, on every Mac that it has come to, one by one, without a download.

Interrupted, the same command finishes it. `--data batch=2` takes two Macs at a time.

The settings still name the new release afterwards: take them back too, before the next converge.
"""

from roles import announce, lock, rollback

announce.plan()
rollback.announced()
lock.taken()

rollback.rolled_back()
