"""Stopping, continuing and killing a process with everything it started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

_PASSES = 200


def tree(root: int) -> list[int]:
    """Return the live descendants of ``root``, without itself. The agent is their reaper, so none escapes."""
    children: dict[int, list[int]] = {}
    for pid, parent, state in _processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    below = [root]
    while below:
        for pid in children.get(below.pop(), ()):
            found.append(pid)
            below.append(pid)
    return found


def marked(mark: str) -> list[int]:
    """Return the live processes that have ``mark`` in their environment."""
    found = []
    for pid, _, state in _processes():
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environ:
            if state not in "ZX" and mark.encode() in environ.read().split(b"\0"):
                found.append(pid)
    return found


def freeze(root: int) -> None:
    """Stop ``root``, so that it starts nothing more, and then everything below it."""
    _kill(root, signal.SIGSTOP)
    stopped: set[int] = set()
    for _ in range(_PASSES):
        new = set(tree(root)) - stopped
        if not new:
            return
        for pid in new:
            _kill(pid, signal.SIGSTOP)
        stopped |= new


def thaw(root: int) -> None:
    """Undo ``freeze``."""
    for pid in (*tree(root), root):
        _kill(pid, signal.SIGCONT)


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped."""
    return any(state in "Tt" for found, _, state in _processes() if found == pid)


def kill_tree(root: int) -> None:
    """Kill everything below ``root`` and at last ``root``, which is stopped so that it neither reaps nor starts."""
    _kill(root, signal.SIGSTOP)
    for _ in range(_PASSES):
        below = tree(root)
        if not below:
            break
        for pid in below:
            _kill(pid, signal.SIGKILL)
    _kill(root, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """Kill what is left of a machine whose agent is gone."""
    for _ in range(_PASSES):
        found = marked(mark)
        if not found:
            return
        for pid in found:
            _kill(pid, signal.SIGKILL)


def _processes() -> Iterator[tuple[int, int, str]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
                yield int(name), int(parent), state


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
