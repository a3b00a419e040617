"""What is so on a Mac, read with macOS commands only; each fact is one remote command."""

from .boot import Boot, BootState
from .files import Digests, Files, FileState
from .host import (
    Account,
    HostNames,
    HostsFile,
    HostsText,
    Names,
    PowerSettings,
    ServiceAccount,
)
from .launchd import JobState, LaunchdJob
from .report import MacReport

__all__ = [
    "Account",
    "Boot",
    "BootState",
    "Digests",
    "FileState",
    "Files",
    "HostNames",
    "HostsFile",
    "HostsText",
    "JobState",
    "LaunchdJob",
    "MacReport",
    "Names",
    "PowerSettings",
    "ServiceAccount",
]
