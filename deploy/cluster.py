"""Make every Mac what the settings say. Run it again whenever something changes: what is right stays untouched."""

from pyinfra.context import host

from roles import announce, code, conda, limits, network, prune, ray, relay, serve, summary, weights, wheels
from roles import host as the_mac

announce.plan()

the_mac.settings()
network.resolved_names()
network.cabled()
limits.gpu_memory()
conda.environment()
relay.agent()
wheels.installed()
weights.copied()
code.copied()

if "head" in host.groups:
    ray.store()
ray.node()
if "head" in host.groups:
    serve.application()

prune.releases(name="Releases that nothing uses")
prune.code(name="Code that nothing uses")
prune.weights(name="Weights that no setting names")
prune.objects(relay.wanted(), name="Artifacts that nothing uses")
summary.fleet(name="Summary")
