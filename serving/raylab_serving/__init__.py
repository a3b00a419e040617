"""What runs inside Ray Serve on the Macs: the ingress, and a server for each engine."""
