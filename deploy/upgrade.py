"""New locks, another head, or settings that restart Ray: Mac by Mac, while the others serve. What fails goes back.

For another Ray, Python or head a second Ray cluster grows beside the first, and the Macs go over to it.
`--data batch=2` takes two Macs at a time. Interrupted, the same command finishes it.
"""

from pyinfra.context import host

from roles import announce, lock, serve, steps, upgrade

announce.plan()
upgrade.announced()
lock.taken()

steps.laid()

upgrade.rolled()
if "head" in host.groups:
    serve.application()

steps.finished()
