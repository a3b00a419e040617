"""What all simulated Macs share. Linux artifacts instead of those for Macs; all of it is made below .lab/."""

ssh_user = "admin"
ssh_key = ".lab/keys/id_ed25519"
ssh_known_hosts_file = ".lab/known_hosts"

platform = "linux-64"
locks = ".lab/artifacts/locks"
depot = ".lab/depot"
secrets = ".lab/secrets"

# All of them share one machine's memory.
object_store_mb = 200
models = []
