"""Three simulated Macs. `make lab` boots them."""

head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]
workers = [
    ("@mac/beta", {"node_ip": "10.77.0.12"}),
    ("@mac/gamma", {"node_ip": "10.77.0.13"}),
]
# What all simulated Macs share is in group_data/simulated.py.
simulated = head + workers
