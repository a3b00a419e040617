"""Lay the release on the Macs. Only the firewall of the running service follows the inventory."""

from roles import announce, conda, firewall, lock, relay, wheels
from roles import host as the_mac

announce.plan()
lock.taken()

the_mac.settings()
# A Mac that is new gets what the others have only when they let it in.
firewall.strangers_kept_out()
conda.environment()
relay.agent()
wheels.installed()
