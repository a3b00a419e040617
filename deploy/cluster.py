"""Make every Mac what the settings say. Run it again whenever something changes: what is right stays untouched.

What would restart Ray on Macs that serve is left to deploy/upgrade.py, unless `--data at_once=1` asks for it.
"""

from pyinfra.context import host

from roles import announce, lock, ray, serve, sides, steps, turn, upgrade

announce.plan()
upgrade.restarts_nobody()
lock.taken()

steps.laid()

if upgrade.without_turn():
    turn.forgotten()
sides.absent(name="No Ray cluster that is coming")
if "head" in host.groups:
    if sides.outgrown():
        sides.ended()
    ray.store()
ray.node()
if "head" in host.groups:
    serve.application()
turn.opened(name="It gets requests")

steps.finished()
