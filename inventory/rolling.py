"""The three simulated Macs of lab.py with a model that starts within seconds; the lab's tests upgrade it.

The environment's HEAD names another head, and MACS other Macs than these.
"""

import os

_addresses = {"alpha": "10.77.0.11", "beta": "10.77.0.12", "gamma": "10.77.0.13", "m5": "10.77.0.15"}
_head = os.environ.get("HEAD", "alpha")
_macs = {
    name: (f"@mac/{name}", {"node_ip": _addresses[name]}) for name in os.environ.get("MACS", "alpha beta gamma").split()
}
head = [_macs[_head]]
workers = [_macs[name] for name in _macs if name != _head]
simulated = head + workers
