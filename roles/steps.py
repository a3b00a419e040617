"""What every converge does around Ray and Serve: in one place, so that no deploy of them forgets a step."""

from __future__ import annotations

from roles import code, conda, firewall, gateway, limits, network, prune, relay, sides, summary, weights, wheels
from roles import host as the_mac


def laid() -> None:
    """Everything that a Mac must have before its part of the cluster starts. No Ray is restarted for it."""
    the_mac.settings()
    network.resolved_names()
    network.cabled()
    firewall.strangers_kept_out()
    limits.gpu_memory()
    conda.environment()
    relay.agent()
    wheels.installed()
    weights.copied()
    code.copied()
    # The doors know a Mac, and both sides of it, before anybody serves there.
    gateway.door()


def finished() -> None:
    """What is left over goes, and the person is told what there is."""
    sides.cleared(name="Nothing of another Ray cluster")
    prune.releases(name="Releases that nothing uses")
    prune.code(name="Code that nothing uses")
    prune.weights(name="Weights that no setting names")
    prune.objects(relay.wanted(), name="Artifacts that nothing uses")
    summary.fleet(name="Summary")
