"""The three simulated Macs of lab.py with every engine and shape on them; the lab's tests converge it."""

head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]
workers = [
    ("@mac/beta", {"node_ip": "10.77.0.12", "thunderbolt": ["en2"]}),
    ("@mac/gamma", {"node_ip": "10.77.0.13", "thunderbolt": ["en2"]}),
]
simulated = head + workers
