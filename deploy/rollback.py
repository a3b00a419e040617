"""The whole fleet back to what it ran before the last upgrade, Mac by Mac, without a download.

The settings still name the new release afterwards: take them back too, before the next converge.
"""

from roles import announce, lock, upgrade

announce.plan()
lock.taken()

upgrade.rolled_back()
