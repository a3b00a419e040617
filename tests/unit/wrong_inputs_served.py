"""Ways to get an inventory wrong, each with the line it must give: ports, models, releases, secrets."""

from __future__ import annotations

from wrong_inputs import Wrong, common, locks, model, remove, secret, setting

WRONG = [
    # Ports
    Wrong(
        "a port outside the range",
        setting('ports = {"serve_http": 80}'),
        "inventory/group_data/all.py:1: ports.serve_http: port 80 is outside 1024 to 48651. "
        "Below, only root may listen; above, macOS hands ports out by itself.",
    ),
    Wrong(
        "a port taken twice",
        setting('ports = {\n    "serve_http": 8265,\n}'),
        "inventory/group_data/all.py:2: ports.serve_http: port 8265 is also `dashboard`. Choose a free one.",
    ),
    Wrong(
        "a port inside the worker range",
        setting('ports = {"serve_http": 10150}'),
        "inventory/group_data/all.py:1: ports.serve_http: "
        "port 10150 is also inside the worker ports 10100–10299. Choose a free one.",
    ),
    Wrong(
        "a worker range over a port",
        setting('ports = {"worker_min": 9990}'),
        "inventory/group_data/all.py:1: ports.ray_client: "
        "port 10001 is also inside the worker ports 9990–10299. Choose a free one.",
    ),
    Wrong(
        "a port that another one has on the other side",
        setting('ports = {"door": 8500}'),
        "inventory/group_data/all.py:1: ports.door: port 8500 is also `serve_http` of side two, "
        "which is 500 above that of side one. Choose a free one.",
    ),
    Wrong(
        "a port that is in the worker range on the other side",
        setting('ports = {"serve_http": 9700}'),
        "inventory/group_data/all.py:1: ports.serve_http: port 9700 is also "
        "inside the worker ports 10100–10299, as it is 500 higher on side two. Choose a free one.",
    ),
    Wrong(
        "a worker range that reaches into that of the other side",
        setting('ports = {"worker_max": 10600}'),
        "inventory/group_data/all.py:1: ports.worker_max: port 10600 is also "
        "inside the worker ports of side two, which begin 500 above those of side one. Choose a free one.",
    ),
    Wrong(
        "a port of groups of Macs",
        setting('ports = {"serve_http": 32400}'),
        "inventory/group_data/all.py:1: ports.serve_http: "
        "port 32400 is also inside the ports of groups of Macs 28672–32767. Choose a free one.",
    ),
    Wrong(
        "a worker range over the ports of groups",
        setting('ports = {"worker_max": 32323}'),
        "inventory/group_data/all.py:1: ports.worker_max: "
        "port 32323 is also inside the ports of groups of Macs 28672–32767. Choose a free one.",
    ),
    Wrong(
        "a worker range that ends before it starts",
        setting('ports = {"worker_max": 10000}'),
        "inventory/group_data/all.py:1: ports.worker_max: the range of worker ports ends at 10000, "
        "before it starts at 10100. Ray needs about 100 of them.",
    ),
    Wrong(
        "a typo in a port's name",
        setting('ports = {"serve_htp": 8100}'),
        "inventory/group_data/all.py:1: ports.serve_htp: there is no setting `ports.serve_htp`. "
        "Did you mean `serve_http`?",
    ),
    Wrong(
        "a port that is text",
        setting('ports = {"gcs": "6379"}'),
        'inventory/group_data/all.py:1: ports.gcs: "6379" is not a whole number. Write a number such as 6379.',
    ),
    # Ray's temp dir
    Wrong(
        "a temp dir too long for sockets",
        setting('ray_temp_dir = "/opt/raylab/a-folder-with-quite-a-long-name"'),
        'inventory/group_data/all.py:1: ray_temp_dir: "/opt/raylab/a-folder-with-quite-a-long-name" '
        "is 43 bytes long; sockets below it leave room for 33. "
        "Choose a shorter one, such as /opt/raylab/ray/tmp.",
    ),
    Wrong(
        "a relative temp dir",
        setting('ray_temp_dir = "ray"'),
        'inventory/group_data/all.py:1: ray_temp_dir: "ray" is not a full path. '
        "Write a folder on the Macs, such as /opt/raylab/ray/tmp.",
    ),
    # Models
    Wrong(
        "a model id twice",
        common(
            '    {\n        "id"',
            '    {"id": "tiny", "source": "models/tiny", "replicas": 1},\n    {\n        "id"',
        ),
        'inventory/group_data/all.py:7: models[1].id: there are two models with the id "tiny". '
        "Clients ask for a model by its id: give each its own.",
    ),
    Wrong(
        "a model without id",
        common('"id": "tiny",', ""),
        'inventory/group_data/all.py:5: models[0]: model number 1 has no `id`. For example "qwen3-8b".',
    ),
    Wrong(
        "a model id that no folder can have",
        common('"tiny"', '"../tiny"'),
        'inventory/group_data/all.py:6: models[0].id: "../tiny" is not a model id. '
        "Use letters, digits, dots, hyphens and at most one slash.",
    ),
    Wrong(
        "an unknown engine",
        model('"engine": "vlm",'),
        'inventory/group_data/all.py:8: models[0].engine: there is no engine "vlm". Did you mean `vllm`?',
    ),
    Wrong(
        "an engine that is not at all like one",
        model('"engine": "transformers",'),
        'inventory/group_data/all.py:8: models[0].engine: there is no engine "transformers". There are vllm and mlx.',
    ),
    Wrong(
        "more replicas than Macs",
        model('"replicas": 4,'),
        "inventory/group_data/all.py:8: models[0].replicas: 4 replicas are asked for, and there are 3 Macs. "
        "A Mac holds a model once: ask for fewer, or add Macs.",
    ),
    Wrong(
        "replicas in words",
        model('"replicas": "three",'),
        'inventory/group_data/all.py:8: models[0].replicas: "three" is not a whole number or "all" or '
        '{"min": a whole number, "max": a whole number}. For example 2.',
    ),
    Wrong(
        "no replicas",
        model('"replicas": 0,'),
        "inventory/group_data/all.py:8: models[0].replicas: 0 is outside 1 and more. For example 2.",
    ),
    Wrong(
        "a typo in a model's key",
        model('"contxt": 512,'),
        "inventory/group_data/all.py:8: models[0].contxt: there is no setting `contxt`. Did you mean `context`?",
    ),
    Wrong(
        "an environment variable that is a number",
        model('"env": {"VLLM_CPU_KVCACHE_SPACE": 1},'),
        'inventory/group_data/all.py:8: models[0].env: {"VLLM_CPU_KVCACHE_SPACE": 1} is not '
        'a dict of texts by name. For example {"VLLM_LOGGING_LEVEL": "DEBUG"}.',
    ),
    Wrong(
        "an engine argument that raylab sets",
        model('"engine_kwargs": {"max_model_len": 100},'),
        "inventory/group_data/all.py:8: models[0].engine_kwargs.max_model_len: "
        "`max_model_len` is decided by raylab. Remove it: `context` says it.",
    ),
    Wrong(
        "a longer context than the model has",
        model('"context": 2048,'),
        "inventory/group_data/all.py:8: models[0].context: a context of 2048 tokens; "
        "the model was made for 1024. Set it to 1024 or less.",
    ),
    Wrong(
        "a source that is not there",
        common("models/tiny", "models/tinny"),
        "inventory/group_data/all.py:7: models[0].source: there is no folder models/tinny. "
        "Name the folder that holds the model's files, or a repository as hf:OWNER/NAME.",
    ),
    Wrong(
        "a source of the lab that is not made yet",
        common("models/tiny", ".lab/artifacts/models/tiny"),
        "inventory/group_data/all.py:7: models[0].source: there is no folder .lab/artifacts/models/tiny. "
        "Run `make lab`, which makes it.",
    ),
    Wrong(
        "a source without config.json",
        remove("models/tiny/config.json"),
        "inventory/group_data/all.py:7: models[0].source: models/tiny holds no config.json. "
        "Copy the whole model folder.",
    ),
    Wrong(
        "a source without weights",
        remove("models/tiny/model.safetensors"),
        "inventory/group_data/all.py:7: models[0].source: models/tiny holds no *.safetensors. "
        "Only weights in that format are served.",
    ),
    Wrong(
        "models that are no list",
        common("models = [", "models = 3\n_old = ["),
        'inventory/group_data/all.py:4: models: 3 is not a list of dicts. For example [{"id": "tiny", "source": "…"}].',
    ),
    # Releases
    Wrong(
        "a Python that differs between Macs",
        locks("locks/next", python="3.11.10"),
        "inventory/lab.py:3: beta: locks: python 3.11.10 here, but 3.11.9 on alpha. "
        "All Macs of a Ray cluster need the same Ray and Python: give them the same locks.",
    ),
    Wrong(
        "a Ray that differs between Macs",
        locks("locks/next", ray="2.60.0"),
        "inventory/lab.py:3: beta: locks: ray 2.60.0 here, but 2.59.0 on alpha. "
        "All Macs of a Ray cluster need the same Ray and Python: give them the same locks.",
    ),
    Wrong(
        "a missing lock",
        remove("locks/linux-64/wheels.lock"),
        "locks/linux-64/wheels.lock: locks: there is no wheels.lock. Correct the setting `locks`.",
    ),
    Wrong(
        "locks of the lab that are not made yet",
        setting('locks = ".lab/artifacts/locks"'),
        "locks: there is no folder .lab/artifacts/locks. Run `make lab`, which makes it.",
    ),
    # Secrets
    Wrong(
        "a token that others can read",
        secret("t0ken", 0o644),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token can be read by others (mode 0644). "
        "Run: chmod 600 secrets/ray-token",
    ),
    Wrong(
        "a key that others can read",
        secret("key", 0o640, "store-key.pem"),
        "inventory/group_data/all.py:3: secrets: secrets/store-key.pem can be read by others (mode 0640). "
        "Run: chmod 600 secrets/store-key.pem",
    ),
    Wrong(
        "a token that nobody can read",
        secret("t0ken", 0o000),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token cannot be read: Permission denied. "
        "Make it a readable file of mode 0600, or remove it.",
    ),
    Wrong(
        "an empty token",
        secret("\n", 0o600),
        "inventory/group_data/all.py:3: secrets: secrets/ray-token cannot be read: it is empty. "
        "Remove it: the next run makes a new one.",
    ),
    Wrong(
        "an SSH key that is not there",
        setting('ssh_key = "keys/id"'),
        "inventory/group_data/all.py:1: ssh_key: there is no SSH key keys/id. Name a private key file.",
    ),
]
