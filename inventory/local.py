"""The one Mac that you are sitting at: head, worker and control machine in one.

    pyinfra inventory/local.py deploy/cluster.py

It serves on loopback, to itself only. To let others on your network ask it, write its address instead, and run
deploy/upgrade.py.
"""

head = [("@local", {"node_ip": "127.0.0.1"})]
