"""socketfilterfw: the Application Firewall's settings. It filters nothing here."""

from __future__ import annotations

import os

from .answers import changing, complain, is_root, recall, say

PERMITTED = "Incoming connection to the application is permitted"
BLOCKED = "Incoming connection to the application is blocked"


def _global_state() -> int:
    on = bool(recall("firewall").get("on"))
    return say(f"Firewall is {'enabled' if on else 'disabled'}. (State = {int(on)})")


def socketfilterfw(arguments: list[str]) -> int:
    """socketfilterfw --getglobalstate | --setglobalstate on|off | --add P | --unblockapp P."""
    if not arguments:
        return complain("usage: socketfilterfw [-l] [--getglobalstate] [--setglobalstate on|off] ...")
    words = list(arguments)
    status = 0
    while words and status == 0:
        option = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("--") else ""
        status = _one(option, value)
    return status


def _one(option: str, value: str) -> int:
    apps = recall("firewall").get("apps", {})
    if option == "--getglobalstate":
        return _global_state()
    if option == "--getblockall":
        return say("Firewall has block all state set to disabled.")
    if option == "--getstealthmode":
        return say("Firewall stealth mode is off")
    if option == "--listapps":
        print(f"Total number of apps = {len(apps)} ")
        for number, (path, permitted) in enumerate(apps.items(), 1):
            verb = "Allow" if permitted else "Block"
            print(f"{number} : {path} \n             ({verb} incoming connections) ")
        return 0
    if option == "--getappblocked":
        if value not in apps:
            return say("The application is not part of the firewall ")
        return say(f"{PERMITTED if apps[value] else BLOCKED} ")
    return _change(option, value)


def _change(option: str, value: str) -> int:
    if option not in ("--setglobalstate", "--add", "--remove", "--unblockapp", "--blockapp"):
        return complain(f"Unrecognized option: {option}")
    if not is_root():
        return complain("Must be root to change settings.")
    if option != "--setglobalstate" and not os.path.exists(value):
        return say(f"The file path you specified does not exist: {value}")
    with changing("firewall") as values:
        apps = values.setdefault("apps", {})
        if option == "--setglobalstate":
            values["on"] = value == "on"
        elif option == "--add":
            apps.setdefault(value, True)
            print(f"Application at path ( {value} ) added to firewall ")
        elif option == "--remove":
            apps.pop(value, None)
            print(f"Application at path ( {value} ) removed from firewall ")
        elif value in apps:
            apps[value] = option == "--unblockapp"
            print(f"{PERMITTED if apps[value] else BLOCKED} ")
        else:
            print("The application is not part of the firewall ")
    return _global_state() if option == "--setglobalstate" else 0
