"""Ways to get a model wrong, each with the line it must give: names, Macs, shapes, files, Ray's own words."""

from __future__ import annotations

from collections.abc import Callable

from fleet_project import Project
from wrong_inputs import HEAD, Wrong, common, lab, model

CONFIG = "model_loading_config: {model_id: whole, model_source: /models/whole}\n"


def second(text: str) -> Callable[[Project], object]:
    """A further model: line 10."""
    return common("    },\n]", f'    }},\n    {{"source": "models/tiny", "context": 512, {text}}},\n]')


def file(name: str, text: str, key: str) -> Callable[[Project], object]:
    """A further file, and a further key of the model that names it."""

    def break_it(project: Project) -> None:
        project.write(name, text)
        model(key)(project)

    return break_it


def whole(text: str, beside: str = '"memory_gb": 8') -> Callable[[Project], object]:
    """A further model in a file of Ray's: line 10."""

    def break_it(project: Project) -> None:
        project.write("serve/whole.yaml", text)
        common("    },\n]", f'    }},\n    {{"llm_config": "serve/whole.yaml", {beside}}},\n]')(project)

    return break_it


WRONG = [
    # Names
    Wrong(
        "an alias that is a model's id",
        second('"id": "big", "aliases": ["tiny"]'),
        'inventory/group_data/all.py:10: models[1].aliases: "tiny" is also the id of a model. '
        "Clients ask for that by this name: choose another.",
    ),
    Wrong(
        "an alias that is another's",
        second('"id": "big", "aliases": ["gpt-4o", "gpt-4o"]'),
        'inventory/group_data/all.py:10: models[1].aliases: "gpt-4o" is also an alias of "big". '
        "Clients ask for that by this name: choose another.",
    ),
    Wrong(
        "an alias that no client can ask for",
        second('"id": "big", "aliases": ["gpt 4o"]'),
        'inventory/group_data/all.py:10: models[1].aliases: "gpt 4o" is not a model id. Use letters, '
        "digits, dots, hyphens and at most one slash.",
    ),
    Wrong(
        "aliases that are no list",
        second('"id": "big", "aliases": "gpt-4o"'),
        'inventory/group_data/all.py:10: models[1].aliases: "gpt-4o" is not a list of texts. For example ["gpt-4o"].',
    ),
    Wrong(
        "ids that Serve cannot tell apart",
        common(
            "    },\n]",
            '    },\n    *({"id": name, "source": "models/tiny", "context": 64} for name in ("q.8", "q_8")),\n]',
        ),
        'inventory/group_data/all.py:4: models[2].id: Serve cannot tell "q_8" from "q.8". It takes / '
        "for --, and . for _: choose another name.",
    ),
    Wrong(
        "more models than Ray can tell apart",
        common(
            "    },\n]", '    },\n    *({"id": f"m{n}", "source": "models/tiny", "context": 64} for n in range(64)),\n]'
        ),
        "inventory/group_data/all.py:4: models[64]: 65 models are asked for, and Ray can tell 64 "
        "apart. Serve fewer, or make a second fleet.",
    ),
    # Macs, replicas, shapes
    Wrong(
        "a Mac that is not there",
        model('"macs": ["alpha", "bet"],'),
        'inventory/group_data/all.py:8: models[0].macs: there is no Mac "bet" in this inventory. Did you mean `beta`?',
    ),
    Wrong(
        "a group that is not there",
        model('"macs": "worker",'),
        'inventory/group_data/all.py:8: models[0].macs: there is no group or Mac "worker" in this '
        "inventory. Did you mean `workers`?",
    ),
    Wrong(
        "a group in a list",
        model('"macs": ["workers"],'),
        'inventory/group_data/all.py:8: models[0].macs: there is no Mac "workers" in this inventory. '
        "Write the group alone, not in a list.",
    ),
    Wrong(
        "no Macs",
        model('"macs": [],'),
        "inventory/group_data/all.py:8: models[0].macs: [] names no Mac. "
        "Remove it to let the model run everywhere, or name a Mac.",
    ),
    Wrong(
        "a group of none",
        lambda project: (lab(HEAD, f"{HEAD}\nstudios = []")(project), model('"macs": "studios",')(project)),
        'inventory/group_data/all.py:8: models[0].macs: "studios" names no Mac. '
        "Remove it to let the model run everywhere, or name a Mac.",
    ),
    Wrong(
        "Macs that are a number",
        model('"macs": 2,'),
        "inventory/group_data/all.py:8: models[0].macs: 2 is not a list of texts or text. For "
        'example ["studio-1", "studio-2"].',
    ),
    Wrong(
        "more replicas than allowed Macs",
        model('"macs": "workers", "replicas": 3,'),
        "inventory/group_data/all.py:8: models[0].replicas: 3 replicas are asked for, and there are "
        "2 Macs in its `macs`. A Mac holds a model once: ask for fewer, or add Macs.",
    ),
    Wrong(
        "the fewest replicas more than the most",
        model('"replicas": {"min": 2, "max": 1},'),
        "inventory/group_data/all.py:8: models[0].replicas: at least 2 replicas are asked for, and "
        "at most 1. Make min the smaller one.",
    ),
    Wrong(
        "more replicas at most than Macs",
        model('"replicas": {"min": 1, "max": 4},'),
        "inventory/group_data/all.py:8: models[0].replicas: 4 replicas are asked for, and there are "
        "3 Macs. A Mac holds a model once: ask for fewer, or add Macs.",
    ),
    Wrong(
        "replicas with one bound",
        model('"replicas": {"min": 1},'),
        'inventory/group_data/all.py:8: models[0].replicas: {"min": 1} is not a whole number or '
        '"all" or {"min": a whole number, "max": a whole number}. For example 2.',
    ),
    Wrong(
        "no replicas at times",
        model('"replicas": {"min": 0, "max": 2},'),
        "inventory/group_data/all.py:8: models[0].replicas: 0 is outside 1 and more. For example 2.",
    ),
    Wrong(
        "a group of more Macs than there are",
        model('"shape": 4,'),
        "inventory/group_data/all.py:8: models[0].shape: groups of 4 Macs are asked for, and there "
        "are 3 Macs. Make the group smaller, or add Macs.",
    ),
    Wrong(
        "more groups than Macs",
        model('"shape": 2, "replicas": 2,'),
        "inventory/group_data/all.py:8: models[0].replicas: 2 groups of 2 Macs are asked for, and "
        "there are 3 Macs. A Mac holds a model once: ask for fewer, or add Macs.",
    ),
    Wrong(
        "a group of one",
        model('"shape": 1,'),
        'inventory/group_data/all.py:8: models[0].shape: 1 is outside 2 and more. For example "group".',
    ),
    Wrong(
        "a shape like no other",
        model('"shape": "ring",'),
        'inventory/group_data/all.py:8: models[0].shape: "ring" is not a whole number or "replica" '
        'or "group". For example "group".',
    ),
    Wrong(
        "a queue of nobody",
        model('"queue": 0,'),
        "inventory/group_data/all.py:8: models[0].queue: 0 is outside 1 and more. For example 20.",
    ),
    # Files
    Wrong(
        "a chat template that is not there",
        model('"chat_template": "chat.jinja",'),
        "inventory/group_data/all.py:8: models[0].chat_template: there is no file chat.jinja. Name a "
        "Jinja file on this machine.",
    ),
    Wrong(
        "a chat template without a template",
        file("chat.jinja", "Hello", '"chat_template": "chat.jinja",'),
        "inventory/group_data/all.py:8: models[0].chat_template: chat.jinja cannot be used: it holds "
        "no template. Name a file with a Jinja template.",
    ),
    Wrong(
        "an adapter that is not there",
        model('"adapters": {"support": "adapters/support"},'),
        "inventory/group_data/all.py:8: models[0].adapters.support: there is no folder "
        "adapters/support. Name the folder that holds the model's files, or a repository as "
        "hf:OWNER/NAME.",
    ),
    Wrong(
        "an adapter that is none",
        file("adapters/a/adapter_config.json", "{}", '"adapters": {"a": "adapters/a"},'),
        "inventory/group_data/all.py:8: models[0].adapters.a: adapters/a holds no "
        "adapter_model.safetensors. Save the adapter in that format.",
    ),
    Wrong(
        "an adapter of a repository at no commit",
        model('"adapters": {"a": "hf:acme/a"},'),
        "inventory/group_data/all.py:8: models[0].adapters.a: hf:acme/a has no revision, and its "
        'files may change any day. Write "hf:acme/a@…" with the 40 hex digits of a commit; '
        "https://huggingface.co/acme/a/commits/main shows them.",
    ),
    Wrong(
        "an adapter of a repository at a branch",
        model('"adapters": {"a": "hf:acme/a@main"},'),
        'inventory/group_data/all.py:8: models[0].adapters.a: "main" is no commit of hf:acme/a, '
        "which has 40 hex digits and never changes. https://huggingface.co/acme/a/commits/main shows "
        "them; `hf models info acme/a` prints the newest as sha.",
    ),
    Wrong(
        "an adapter that is a page",
        model('"adapters": {"a": "https://huggingface.co/acme/a"},'),
        'inventory/group_data/all.py:8: models[0].adapters.a: "https://huggingface.co/acme/a" does '
        'not say where the model\'s files are. Write "hf:acme/a".',
    ),
    Wrong(
        "an adapter called like its model",
        lambda project: (project.adapter("a"), model('"adapters": {"tiny": "a"},')(project)),
        'inventory/group_data/all.py:8: models[0].adapters.tiny: "tiny" is also the id of a model. '
        "Clients ask for that by this name: choose another.",
    ),
    # Ray's own words
    Wrong(
        "a key that LLMConfig does not have",
        model('"serve": {"deployment": {}},'),
        "inventory/group_data/all.py:8: models[0].serve.deployment: Ray's LLMConfig has no key "
        "`deployment`. Did you mean `deployment_config`?",
    ),
    Wrong(
        "a number of replicas in Ray's words",
        model('"serve": {"deployment_config": {"num_replicas": 2}},'),
        "inventory/group_data/all.py:8: models[0].serve.deployment_config.num_replicas: "
        "`num_replicas` is decided by raylab. Remove it: `replicas` says it.",
    ),
    Wrong(
        "scaling for a fixed number",
        model('"serve": {"deployment_config": {"autoscaling_config": {}}},'),
        "inventory/group_data/all.py:8: models[0].serve.deployment_config.autoscaling_config: "
        '`autoscaling_config` is decided by raylab. It counts only when the model has "replicas": '
        '{"min": …, "max": …}.',
    ),
    Wrong(
        "an argument in Ray's words that vLLM does not have",
        model('"serve": {"engine_kwargs": {"enforce_eagr": True}},'),
        "inventory/group_data/all.py:8: models[0].serve.engine_kwargs.enforce_eagr: vllm has no "
        "argument `enforce_eagr`. Did you mean `enforce_eager`?",
    ),
    Wrong(
        "a file of Ray's that is not there",
        common("    },\n]", '    },\n    {"llm_config": "whole.yaml", "memory_gb": 8},\n]'),
        "inventory/group_data/all.py:10: models[1].llm_config: there is no file whole.yaml. Name a "
        "YAML file with one LLMConfig of Ray Serve.",
    ),
    Wrong(
        "a file of Ray's that is no YAML",
        whole("model_loading_config: ["),
        "inventory/group_data/all.py:10: models[1].llm_config: serve/whole.yaml cannot be used: it "
        "is no YAML: expected the node content, but found '<stream end>', line 1. Correct the file.",
    ),
    Wrong(
        "a file of Ray's that is a list",
        whole("- model_id: whole\n"),
        "inventory/group_data/all.py:10: models[1].llm_config: serve/whole.yaml cannot be used: it "
        "holds no keys. Write the keys of LLMConfig, model_loading_config first.",
    ),
    Wrong(
        "a file of Ray's without a model",
        whole("engine_kwargs: {}\nmodel_loading_config: {model_source: /x}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config: serve/whole.yaml holds no "
        "model_loading_config.model_id. Write model_loading_config: {model_id: …}.",
    ),
    Wrong(
        "a file of Ray's without weights",
        whole("model_loading_config: {model_id: whole}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config: serve/whole.yaml holds no "
        "model_loading_config.model_source. Write model_loading_config: {model_source: …}. It is a "
        "folder on the Macs, which raylab does not fill.",
    ),
    Wrong(
        "a file of Ray's with a strange key",
        whole(CONFIG + "engine_kwarg: {}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config.engine_kwarg: Ray's LLMConfig has no "
        "key `engine_kwarg`. Did you mean `engine_kwargs`?",
    ),
    Wrong(
        "a setting beside a file of Ray's",
        whole(CONFIG, '"memory_gb": 8, "context": 64'),
        "inventory/group_data/all.py:10: models[1].context: `context` cannot stand beside "
        "llm_config, which says everything. Remove it: write it into the file. Only id, macs, "
        "memory_gb may stand here.",
    ),
    Wrong(
        "a file of Ray's of unknown size",
        whole(CONFIG, '"macs": "workers"'),
        "inventory/group_data/all.py:10: models[1]: model number 2 has no `memory_gb`. The plan "
        "cannot work it out of the file: for example 24.5.",
    ),
    Wrong(
        "an id beside a file of Ray's with another",
        whole(CONFIG, '"memory_gb": 8, "id": "half"'),
        'inventory/group_data/all.py:10: models[1].id: "half" here, but "whole" in the file. Remove '
        "it, or make both the same.",
    ),
    Wrong(
        "a file of Ray's with an id that is taken",
        whole(CONFIG.replace("whole,", "tiny,")),
        'inventory/group_data/all.py:10: models[1].id: there are two models with the id "tiny". '
        "Clients ask for a model by its id: give each its own.",
    ),
    Wrong(
        "more replicas in a file of Ray's than Macs",
        whole(CONFIG + "deployment_config: {num_replicas: 4}\n"),
        "inventory/group_data/all.py:10: models[1].llm_config: 4 replicas are asked for, and there "
        "are 3 Macs. A Mac holds a model once: ask for fewer, or add Macs.",
    ),
]
