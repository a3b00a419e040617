"""macOS's signal numbers and descriptions, which differ from Linux's above 6."""

from __future__ import annotations

import signal

# macOS number -> (name without SIG, strsignal text)
_DARWIN = {
    1: ("HUP", "Hangup"),
    2: ("INT", "Interrupt"),
    3: ("QUIT", "Quit"),
    4: ("ILL", "Illegal instruction"),
    5: ("TRAP", "Trace/BPT trap"),
    6: ("ABRT", "Abort trap"),
    8: ("FPE", "Floating point exception"),
    9: ("KILL", "Killed"),
    10: ("BUS", "Bus error"),
    11: ("SEGV", "Segmentation fault"),
    12: ("SYS", "Bad system call"),
    13: ("PIPE", "Broken pipe"),
    14: ("ALRM", "Alarm clock"),
    15: ("TERM", "Terminated"),
    16: ("URG", "Urgent I/O condition"),
    17: ("STOP", "Suspended (signal)"),
    18: ("TSTP", "Suspended"),
    19: ("CONT", "Continued"),
    20: ("CHLD", "Child exited"),
    21: ("TTIN", "Stopped (tty input)"),
    22: ("TTOU", "Stopped (tty output)"),
    23: ("IO", "I/O possible"),
    24: ("XCPU", "Cputime limit exceeded"),
    25: ("XFSZ", "Filesize limit exceeded"),
    26: ("VTALRM", "Virtual timer expired"),
    27: ("PROF", "Profiling timer expired"),
    28: ("WINCH", "Window size changes"),
    30: ("USR1", "User defined signal 1"),
    31: ("USR2", "User defined signal 2"),
}
_NUMBERS = {name: number for number, (name, _) in _DARWIN.items()}
_CRASHES = frozenset(_NUMBERS[name] for name in ("ILL", "TRAP", "ABRT", "FPE", "BUS", "SEGV", "SYS"))


def darwin_number(linux: int) -> int:
    """What macOS calls the signal that Linux numbers `linux`; unknown ones keep their number."""
    try:
        name = signal.Signals(linux).name.removeprefix("SIG")
    except ValueError:
        return linux
    return _NUMBERS.get(name, linux)


def describe_signal(darwin: int) -> str:
    """``Terminated: 15``, as print shows it."""
    return f"{_DARWIN[darwin][1] if darwin in _DARWIN else 'Unknown signal'}: {darwin}"


def is_crash(darwin: int) -> bool:
    """Whether KeepAlive's Crashed means this signal."""
    return darwin in _CRASHES


def parse_signal(text: str) -> signal.Signals | None:
    """The Linux signal that ``TERM``, ``SIGTERM`` or a macOS number means; None if it means none."""
    name = text.upper().removeprefix("SIG")
    if text.isdigit():
        name = _DARWIN.get(int(text), ("", ""))[0]
    return signal.Signals.__members__.get(f"SIG{name}") if name in _NUMBERS else None
