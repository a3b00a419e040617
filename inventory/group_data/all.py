"""What all Macs of every fleet share, unless a file of group_data that is named after a fleet says otherwise.

Every setting with its meaning, unit and default is in fleet/settings.py, those of a model in
fleet/model_settings.py. Relative paths count from the folder in which you run pyinfra.
"""

# How to get in: an administrator's account with Remote Login (System Settings > General > Sharing), your
# public key in its ~/.ssh/authorized_keys, and sudo without a password for it.
ssh_user = "admin"

# What the fleet serves. A Mac holds as many models as fit its memory: the plan at the start of every run shows which,
# and a model that fits nowhere ends the run before any Mac is touched.
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
        # How many Macs hold it: "all" that it fits, a number, or as many as requests need: {"min": 1, "max": 3}.
        "replicas": "all",
        # Tokens of the longest conversation, and how many requests a Mac works on at once. Both cost memory:
        # the plan shows how much.
        "context": 16384,
        "concurrency": 8,
        # Further names for it, say for programs that know no other:
        #     "aliases": ["gpt-4o"],
        # Where it may run: names of Macs, or one of the inventory's groups. By default everywhere.
        #     "macs": "studios",
        # LoRA adapters, which clients ask for by these names. Only vllm has them.
        #     "adapters": {"qwen3-8b-support": "~/adapters/support"},
        # For requests that say nothing of it, the longest answer in tokens; and another chat template.
        #     "max_tokens": 2048, "chat_template": "templates/qwen3-no-think.jinja",
    },
    # One that no single Mac can hold: mlx-lm shares it out to the smallest group of Macs that can.
    # {
    #     "id": "qwen3-235b",
    #     "source": "~/models/Qwen3-235B-A22B-4bit",
    #     "engine": "mlx",
    #     "shape": "group",
    #     "context": 32768,
    # },
]

# Who may ask: each of these is a key, a file of its name that the next run makes on this machine.
#     api_keys = ["default", "chat", "laptop"]
# Further names by which clients reach the Macs, and a certificate of your own instead of the fleet's.
#     door_names = ["llm.example.org"]
#     tls = {"certificate": "tls/llm.pem", "key": "tls/llm-key.pem"}

# Web pages that may ask the fleet from a browser; by default none.
#     allowed_origins = ["https://chat.example.org"]

# Machines that reach Ray's and Serve's ports of the Macs, say one with Prometheus. pf refuses all others there.
#     allow = ["192.168.1.5"]

# Serve applications of your own, which answer below a path of theirs on every Mac.
#     applications = [
#         {
#             "name": "rerank",
#             "route_prefix": "/rerank",
#             "import_path": "rerank:app",
#             "wheel": "dist/rerank-1.0-py3-none-any.whl",
#         },
#     ]
