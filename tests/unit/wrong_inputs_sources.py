"""Ways to get a model's source wrong, each with the line it must give."""

from __future__ import annotations

import json
from collections.abc import Callable

from fleet_project import Project
from wrong_inputs import Wrong, common

SHA256 = "e" * 64
COMMIT = "b968826d9c46dd6066d109eabc6255188de91218"
PLACE = "inventory/group_data/all.py:7: models[0]."
SHOWS = (
    "https://huggingface.co/Qwen/Qwen3-8B/commits/main shows them; "
    "`hf models info Qwen/Qwen3-8B` prints the newest as sha."
)
FORMS = 'Write a folder, "hf:OWNER/NAME", or "@mac/NAME:/FOLDER".'


def source(text: str, revision: str = "") -> Callable[[Project], object]:
    """Another source, with a revision in the same line: line 7."""
    return common('"source": "models/tiny"', f'"source": {json.dumps(text)}{revision}')


WRONG = [
    Wrong(
        "a repository without its owner's sign",
        source("Qwen/Qwen3-8B"),
        f"{PLACE}source: there is no folder Qwen/Qwen3-8B. "
        "Name the folder that holds the model's files, or a repository as hf:OWNER/NAME.",
    ),
    Wrong(
        "a repository that none can be called",
        source("hf:Qwen/Qwen3/8B"),
        f'{PLACE}source: "hf:Qwen/Qwen3/8B" does not say where the model\'s files are. {FORMS}',
    ),
    Wrong(
        "the address of a repository's page",
        source("https://huggingface.co/Qwen/Qwen3-8B/tree/main"),
        f'{PLACE}source: "https://huggingface.co/Qwen/Qwen3-8B/tree/main" does not say where the model\'s files are. '
        'Write "hf:Qwen/Qwen3-8B".',
    ),
    Wrong(
        "another server's address",
        source("https://example.org/model"),
        f'{PLACE}source: "https://example.org/model" does not say where the model\'s files are. {FORMS}',
    ),
    Wrong(
        "a repository without a revision",
        source("hf:Qwen/Qwen3-8B"),
        "inventory/group_data/all.py:5: models[0].revision: hf:Qwen/Qwen3-8B has no revision, and its files may "
        f'change any day. Write "revision": "…", the 40 hex digits of a commit. {SHOWS}',
    ),
    Wrong(
        "a revision that moves",
        source("hf:Qwen/Qwen3-8B", ', "revision": "main"'),
        f'{PLACE}revision: "main" is no commit of hf:Qwen/Qwen3-8B, which has 40 hex digits and never changes. {SHOWS}',
    ),
    Wrong(
        "a short commit",
        source("hf:Qwen/Qwen3-8B", f', "revision": "{COMMIT[:12]}"'),
        f'{PLACE}revision: "{COMMIT[:12]}" is no commit of hf:Qwen/Qwen3-8B, which has 40 hex digits and never '
        f"changes. {SHOWS}",
    ),
    Wrong(
        "a revision that is a number",
        source("hf:Qwen/Qwen3-8B", ', "revision": 3'),
        f'{PLACE}revision: 3 is not text. For example "{COMMIT}".',
    ),
    Wrong(
        "a revision of a folder",
        source("models/tiny", f', "revision": "{COMMIT}"'),
        f"{PLACE}revision: the folder models/tiny has no revisions. Remove it.",
    ),
    Wrong(
        "a folder on a Mac that is not in the inventory",
        source("@mac/betta:/Users/me/models/tiny"),
        f"{PLACE}source: there is no Mac betta in this inventory. Did you mean `beta`?",
    ),
    Wrong(
        "a folder on a Mac unlike all others",
        source("@mac/studio-9:/Users/me/models/tiny"),
        f"{PLACE}source: there is no Mac studio-9 in this inventory. There are alpha, beta, gamma.",
    ),
    Wrong(
        "a relative folder on a Mac",
        source("@mac/beta:models/tiny"),
        f'{PLACE}source: "@mac/beta:models/tiny" does not say where the model\'s files are. {FORMS}',
    ),
    Wrong(
        "a folder on this machine, said as a Mac's",
        source("@local:/models/tiny"),
        f'{PLACE}source: "@local:/models/tiny" does not say where the model\'s files are. {FORMS}',
    ),
    Wrong(
        "a source that is a number",
        common('"models/tiny"', "3"),
        f'{PLACE}source: 3 is not a folder or a repository. For example "~/models/Qwen3-8B".',
    ),
    Wrong(
        "privacy in words",
        source("models/tiny", ', "private": "yes"'),
        f'{PLACE}private: "yes" is not True or False. For example True.',
    ),
]
