"""Lay the weights of every model on the Macs. The running service is not touched."""

from roles import announce, conda, prune, relay, weights
from roles import host as the_mac

announce.plan()

the_mac.settings()
conda.environment()
relay.agent()
weights.copied()

prune.weights(name="Weights that no setting names")
prune.objects(relay.wanted(), name="Artifacts that nothing uses")
