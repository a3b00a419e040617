"""Your own Macs. Copy this file, change the names and addresses, and run

    pyinfra inventory/mine.py deploy/preflight.py     # looks, changes nothing
    pyinfra inventory/mine.py deploy/cluster.py       # makes it so, again after every change

What all Macs share (models, ports, folders) is in group_data/all.py. A file group_data/mine.py, named after
your copy, changes it for your fleet alone.
"""

# The head keeps the cluster's books, and serves like the others. Exactly one, best the Mac that is always on.
# The name after @mac/ becomes the Mac's host name: letters, digits, hyphens.
head = [
    (
        "@mac/studio-1",
        {
            # The address by which the other Macs reach it, on the fastest network they all share. It must
            # stay the same: give it a fixed lease in your router, or set it by hand.
            "node_ip": "192.168.1.21",
            # Optional. Said here, the plan knows it even when a run is limited to other Macs.
            "memory_gb": 64,
        },
    ),
]

# The workers. Adding a Mac is one more line here, and the same command.
workers = [
    ("@mac/studio-2", {"node_ip": "192.168.1.22", "memory_gb": 64}),
    # Two Macs with a Thunderbolt cable from one to the other hold a large model together, faster than over a LAN.
    # Name the ports that raylab may set up for that, on both:
    #     ("@mac/studio-3", {"node_ip": "192.168.1.23", "memory_gb": 128, "thunderbolt": ["en2"]}),
    #     ("@mac/studio-4", {"node_ip": "192.168.1.24", "memory_gb": 128, "thunderbolt": ["en2"]}),
    # Where SSH takes another way than Ray, for example Wi-Fi beside a fast cable, say so:
    ("@mac/mini-1", {"node_ip": "192.168.1.31", "memory_gb": 32, "ssh_hostname": "mini-1.local"}),
]

# Groups of your own, by which a model may be kept to some Macs: "macs": "studios".
studios = ["@mac/studio-1", "@mac/studio-2"]
