"""Ways to get the user's own applications, web pages and Thunderbolt ports wrong, each with the line it must give."""

from __future__ import annotations

from collections.abc import Callable

from fleet_project import Project
from wrong_inputs import Wrong, lab, setting

RERANK = '{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app"}'


def application(old: str = "", new: str = "", more: str = "") -> Callable[[Project], object]:
    """One application with something else in it, and others: line 1."""
    return setting(f"applications = [{RERANK.replace(old, new)}, {more}]")


WRONG = [
    # Applications
    Wrong(
        "applications that are no list",
        setting("applications = {}"),
        "inventory/group_data/all.py:1: applications: {} is not a list of dicts. For example "
        '[{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app"}].',
    ),
    Wrong(
        "an application that is no dict",
        setting('applications = ["rerank"]'),
        'inventory/group_data/all.py:1: applications[0]: "rerank" is not a dict. For example '
        '{"name": "rerank", "route_prefix": "/rerank", "import_path": "rerank:app"}.',
    ),
    Wrong(
        "an application without a path",
        application('"route_prefix": "/rerank", '),
        'inventory/group_data/all.py:1: applications[0]: application "rerank" has no `route_prefix`. '
        'For example "/rerank".',
    ),
    Wrong(
        "a typo in an application's key",
        application('"rerank:app"', '"rerank:app", "arg": {}'),
        "inventory/group_data/all.py:1: applications[0].arg: there is no setting `arg`. Did you mean `args`?",
    ),
    Wrong(
        "an application called like raylab's",
        application('"name": "rerank"', '"name": "llm"'),
        'inventory/group_data/all.py:1: applications[0].name: "llm" is what one of raylab\'s own '
        "applications is called. Choose another name.",
    ),
    Wrong(
        "an application called like a model's",
        application('"name": "rerank"', '"name": "model:rerank"'),
        'inventory/group_data/all.py:1: applications[0].name: "model:rerank" is what one of raylab\'s own '
        "applications is called. Choose another name.",
    ),
    Wrong(
        "two applications of one name",
        application(more=RERANK.replace("/rerank", "/two")),
        "inventory/group_data/all.py:1: applications[1].name: there are two applications called "
        '"rerank". Give each its own name.',
    ),
    Wrong(
        "two applications at one path",
        application(more=RERANK.replace('"rerank"', '"two"')),
        'inventory/group_data/all.py:1: applications[1].route_prefix: "/rerank" is a path of the '
        'application "rerank". Choose another path.',
    ),
    Wrong(
        "an application at every path",
        application('"/rerank"', '"/"'),
        'inventory/group_data/all.py:1: applications[0].route_prefix: "/" is a path of raylab\'s own '
        "application. Choose another path.",
    ),
    Wrong(
        "an application at the models' path",
        application('"/rerank"', '"/v1"'),
        'inventory/group_data/all.py:1: applications[0].route_prefix: "/v1" is a path of raylab\'s '
        "own application. Choose another path.",
    ),
    Wrong(
        "an application below the models' path",
        application('"/rerank"', '"/v1/rerank"'),
        'inventory/group_data/all.py:1: applications[0].route_prefix: "/v1/rerank" is a path of '
        "raylab's own application. Choose another path.",
    ),
    Wrong(
        "a path without a slash",
        application('"/rerank"', '"rerank"'),
        'inventory/group_data/all.py:1: applications[0].route_prefix: "rerank" is not the path of an '
        'application. Write it like "/rerank", without a slash at its end.',
    ),
    Wrong(
        "an import path without a name",
        application('"rerank:app"', '"rerank.app"'),
        'inventory/group_data/all.py:1: applications[0].import_path: "rerank.app" does not say where '
        'the application is. Write the module, a colon and the name in it, such as "rerank.main:app".',
    ),
    Wrong(
        "a wheel that is not there",
        application('"rerank:app"', '"rerank:app", "wheel": "dist/rerank-1.0-py3-none-any.whl"'),
        "inventory/group_data/all.py:1: applications[0].wheel: there is no file "
        "dist/rerank-1.0-py3-none-any.whl. Build it, for example with `uv build --wheel`, and name "
        "the file.",
    ),
    Wrong(
        "a wheel of compiled code",
        lambda project: (
            project.wheel("rerank-1.0-cp311-cp311-macosx_14_0_arm64.whl"),
            application('"rerank:app"', '"rerank:app", "wheel": "rerank-1.0-cp311-cp311-macosx_14_0_arm64.whl"')(
                project
            ),
        ),
        "inventory/group_data/all.py:1: applications[0].wheel: "
        "rerank-1.0-cp311-cp311-macosx_14_0_arm64.whl cannot be used: "
        "rerank-1.0-cp311-cp311-macosx_14_0_arm64.whl holds compiled code, which belongs in "
        "wheels.in. Name a wheel of pure Python.",
    ),
    # Web pages
    Wrong(
        "an origin with a path",
        setting('allowed_origins = ["https://chat.example.org/"]'),
        'inventory/group_data/all.py:1: allowed_origins: "https://chat.example.org/" is not the '
        'origin of a web page. Write scheme, host and port only, such as "https://chat.example.org".',
    ),
    Wrong(
        "an origin without a scheme",
        setting('allowed_origins = ["chat.example.org"]'),
        'inventory/group_data/all.py:1: allowed_origins: "chat.example.org" is not the origin of a '
        'web page. Write scheme, host and port only, such as "https://chat.example.org".',
    ),
    Wrong(
        "origins that are text",
        setting('allowed_origins = "*"'),
        'inventory/group_data/all.py:1: allowed_origins: "*" is not a list of texts. For example '
        '["https://chat.example.org"].',
    ),
    # Thunderbolt
    Wrong(
        "a port that is no interface",
        lab('"10.77.0.12"', '"10.77.0.12", "thunderbolt": ["Thunderbolt 1"]'),
        'inventory/lab.py:3: beta: thunderbolt: "Thunderbolt 1" is not a network interface of a Mac. '
        "Write names such as en2: `networksetup -listallhardwareports` shows those of Thunderbolt.",
    ),
    Wrong(
        "a port twice",
        lab('"10.77.0.12"', '"10.77.0.12", "thunderbolt": ["en2", "en2"]'),
        'inventory/lab.py:3: beta: thunderbolt: "en2" is named twice. Name it once.',
    ),
    Wrong(
        "ports for all Macs",
        setting('thunderbolt = ["en2"]'),
        "inventory/group_data/all.py:1: thunderbolt: this belongs to one Mac and cannot be given to "
        "all. Write it beside the Mac's name in inventory/lab.py, not for the group `all`.",
    ),
    # The firewall
    Wrong(
        "a firewall that is neither on nor off",
        setting('firewall = "on"'),
        'inventory/group_data/all.py:1: firewall: "on" is not True or False. For example False.',
    ),
    Wrong(
        "a name that the firewall shall let in",
        setting('allow = ["prometheus.local"]'),
        'inventory/group_data/all.py:1: allow: "prometheus.local" is neither an address nor a network. '
        'Write one such as "192.168.1.5" or "192.168.1.0/24".',
    ),
    Wrong(
        "a network with an address in it",
        setting('allow = ["fd00::/8", "192.168.1.5/24"]'),
        'inventory/group_data/all.py:1: allow: "192.168.1.5/24" is neither an address nor a network. '
        'Write one such as "192.168.1.5" or "192.168.1.0/24".',
    ),
]
