"""What all Macs of every fleet share, unless a file of group_data that is named after a fleet says otherwise.

Every setting with its meaning, unit and default is in fleet/settings.py. Relative paths count from the folder
in which you run pyinfra.
"""

# How to get in: an administrator's account with Remote Login (System Settings > General > Sharing), your
# public key in its ~/.ssh/authorized_keys, and sudo without a password for it.
ssh_user = "admin"

# What the fleet serves. A Mac holds one model; with replicas "all" every Mac that can hold it does.
models = [
    {
        # The name that clients ask for.
        "id": "qwen3-8b",
        # Where its files are: a folder on this machine, as here; or a repository on Hugging Face with the commit
        # that you mean (its page shows them), which this machine fetches once:
        #     "source": "hf:Qwen/Qwen3-8B", "revision": "b968826d9c46dd6066d109eabc6255188de91218",
        # or a folder on one of the Macs, which it fetches once too:
        #     "source": "@mac/studio-1:/Users/admin/models/Qwen3-8B",
        "source": "~/models/Qwen3-8B",
        "engine": "vllm",
        "replicas": "all",
        # Tokens of the longest conversation, and how many requests a Mac works on at once. Both cost memory:
        # the plan at the start of every run shows how much.
        "context": 16384,
        "concurrency": 8,
    },
]
