"""The simulated Mac that installs the releases once, so that the others of the lab can share them on disk."""

import os

locks = os.environ.get("LOCKS", "locks")
head = [("@mac/factory", {"node_ip": "10.77.0.9", "locks": f".lab/artifacts/{locks}"})]
simulated = head
