"""System settings with a tool of their own: FileVault, Spotlight, Time Machine, updates, Remote Login."""

from __future__ import annotations

import os
import time

from .answers import changing, complain, is_root, recall, say


def fdesetup(arguments: list[str]) -> int:
    """fdesetup status | isactive. FileVault is off: a Mac that boots unattended has it off."""
    on = bool(recall("filevault").get("on"))
    if arguments == ["status"]:
        return say(f"FileVault is {'On' if on else 'Off'}.")
    if arguments == ["isactive"]:
        print("true" if on else "false")
        return 0 if on else 1
    return complain("Usage: fdesetup <verb> [options]", 2)


def mdutil(arguments: list[str]) -> int:
    """mdutil -s VOLUME | -i on|off VOLUME | -a -i on|off."""
    words = ["/" if word == "-a" else word for word in arguments]
    if words[:1] == ["/"]:
        words = [*words[1:], "/"]
    if len(words) == 2 and words[0] == "-s":
        return _indexing(words[1])
    if len(words) != 3 or words[0] != "-i" or words[1] not in ("on", "off"):
        return complain("Usage: mdutil -pEsa -i (on|off) -d volume ...")
    if not is_root():
        return complain("Error: You must be root to change indexing", 1)
    if not os.path.isdir(words[2]):
        return _indexing(words[2])
    with changing("spotlight") as values:
        values[words[2]] = words[1]
    return _indexing(words[2])


def _indexing(volume: str) -> int:
    if not os.path.isdir(volume):
        return complain(f"Error: `{volume}' is not a valid volume path.")
    state = "disabled" if recall("spotlight").get(volume) == "off" else "enabled"
    return say(f"{volume}:\n\tIndexing {state}.")


NO_ACCESS = """\
tmutil: {} requires Full Disk Access privileges.
To allow this operation, select Full Disk Access in the Privacy
tab of the Security & Privacy preference pane, and add Terminal
to the list of applications which are allowed Full Disk Access."""


def tmutil(arguments: list[str]) -> int:
    """tmutil addexclusion|removeexclusion [-p] PATH ... | isexcluded PATH ... | destinationinfo.

    By path (-p) it needs Full Disk Access too, which Remote Login grants here unless privacy.json says otherwise.
    """
    verb = arguments[0] if arguments else ""
    paths = [os.path.abspath(word) for word in arguments[1:] if not word.startswith("-")]
    if verb == "destinationinfo":
        return complain("tmutil: No destinations configured.")
    if verb not in ("addexclusion", "removeexclusion", "isexcluded") or not paths:
        return complain("Usage: tmutil help <verb>", 64)
    missing = [path for path in paths if not os.path.exists(path)]
    if verb == "isexcluded":
        excluded = recall("timemachine")
        for path in paths:
            within = any(path == one or path.startswith(f"{one}/") for one in excluded)
            print(f"[{'Excluded' if within else 'Included'}]    {path}")
        return 0
    if "-p" in arguments and not is_root():
        return complain(f"tmutil: {verb} requires root privileges.", 80)
    if "-p" in arguments and not recall("privacy").get("full_disk_access", True):
        return complain(NO_ACCESS.format(verb), 80)
    if missing and verb == "addexclusion":
        return complain(f"{missing[0]}: Error (-43) while attempting to change exclusion setting.", 213)
    with changing("timemachine") as values:
        for path in paths:
            if verb == "addexclusion":
                values[path] = True
            else:
                values.pop(path, None)
    return 0


def softwareupdate(arguments: list[str]) -> int:
    """softwareupdate --schedule | --list: the schedule can only be read."""
    if arguments == ["--schedule"]:
        return say("Automatic checking for updates is turned on")
    if arguments in (["--list"], ["-l"]):
        print("Software Update Tool\n\nFinding available software")
        return complain("No new software available.", 0)
    return complain("usage: softwareupdate <cmd> [<args> ...]", 1)


def systemsetup(arguments: list[str]) -> int:
    """systemsetup -getremotelogin and its like; every one needs root."""
    if not is_root():
        return say("You need administrator access to run this tool... exiting!")
    command = arguments[0].lower() if arguments else ""
    if command == "-getremotelogin":
        return say("Remote Login: On")
    if command == "-setremotelogin" and arguments[-1] == "on":
        return 0
    if command == "-getusingnetworktime":
        return say("Network Time: On")
    if command == "-getnetworktimeserver":
        return say("Network Time Server: time.apple.com")
    if command == "-gettimezone":
        return say(f"Time Zone: {time.tzname[0]}")
    return complain(f"{command} is not a recognized option.")
