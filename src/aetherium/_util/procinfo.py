"""Which process is which: a pid alone is recycled, a pid with its start time is not."""

from __future__ import annotations

import os


def start_time(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def this_process() -> str:
    """Return this process's identity, ``pid:start time``."""
    pid = os.getpid()
    return f"{pid}:{start_time(pid)}"


def is_alive(identity: str) -> bool:
    """Say whether the process with this identity still runs."""
    pid, _, started = identity.partition(":")
    return pid.isdigit() and str(start_time(int(pid))) == started
