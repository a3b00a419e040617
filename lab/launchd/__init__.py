"""A stand-in for macOS's launchd and launchctl: PID 1 of a simulated Mac.

Standard library only: inside a simulated Mac this package is a copy, started by ``entry.py`` with a bare
interpreter. Supervision, output and exit codes follow what is known of launchd on macOS 26. Not simulated:
StartCalendarInterval, StartInterval, WatchPaths, PathState, sockets and Mach services (such jobs are loaded,
but only RunAtLoad, KeepAlive and kickstart start them), per-user domains, code signing, and ProcessType.
"""
