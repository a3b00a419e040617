"""The simulated Mac that installs the release once, so that the others of the lab can share it on disk."""

head = [("@mac/factory", {"node_ip": "10.77.0.9"})]
simulated = head
