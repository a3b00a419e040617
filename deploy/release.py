"""Lay the release on the Macs. The running service is not touched."""

from roles import announce, conda, relay, wheels
from roles import host as the_mac

announce.plan()

the_mac.settings()
conda.environment()
relay.agent()
wheels.installed()
