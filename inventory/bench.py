"""One simulated Mac, which `make bench-serving` measures."""

head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]
simulated = head
