"""What is so on a Mac, read with macOS commands only; each fact is one remote command."""

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
