"""Lay the weights of every model on the Macs. Only the firewall of the running service follows the inventory."""

from roles import announce, conda, firewall, lock, prune, relay, weights
from roles import host as the_mac

announce.plan()
lock.taken()

the_mac.settings()
# A Mac that is new gets what the others have only when they let it in.
firewall.strangers_kept_out()
conda.environment()
relay.agent()
weights.copied()

prune.weights(name="Weights that no setting names")
prune.objects(relay.wanted(), name="Artifacts that nothing uses")
