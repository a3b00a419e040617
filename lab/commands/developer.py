"""What is a stub until the Command Line Tools are installed; here they never are."""

from __future__ import annotations

from .answers import complain

NOTE = """\
xcode-select: note: No developer tools were found, requesting install.
If developer tools are located at a non-default location on disk, use `sudo xcode-select --switch \
path/to/Xcode.app` to specify the Xcode that you wish to use for command line developer tools, and cancel \
the installation dialog.
See `man xcode-select` for more details."""


def stub(_: list[str]) -> int:
    """python3, git, cc and others: a dialog nobody sees, and a failure."""
    return complain(NOTE)


def xcode_select(arguments: list[str]) -> int:
    """xcode-select -p."""
    if arguments in (["-p"], ["--print-path"]):
        return complain(
            "xcode-select: error: Unable to get active developer directory. Use `sudo xcode-select --switch "
            "path/to/Xcode.app` to set one (or see `man xcode-select`)",
            2,
        )
    return complain("xcode-select: error: no command option given", 1)
