"""Which processes of this host are ours, also when they left us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]
"""pid and start time: a pid alone is used again."""


def everybody() -> frozenset[Identity]:
    """Return all processes."""
    return frozenset(identity for identity, _, _ in _stat())


def ours(words: tuple[bytes, ...], known: frozenset[Identity]) -> frozenset[Identity]:
    """Return ``known`` and those new processes that descend from this one or mention one of ``words``."""
    rows = list(_stat())
    children: dict[int, list[Identity]] = {}
    for identity, parent, _ in rows:
        children.setdefault(parent, []).append(identity)
    found: set[Identity] = set()
    below = [os.getpid()]
    while below:
        for identity in children.get(below.pop(), ()):
            found.add(identity)
            below.append(identity[0])
    for identity, _, _ in rows:
        if identity not in known and identity not in found and _mentions(identity[0], words):
            found.add(identity)
    return known | found


def describe(identity: Identity) -> str:
    """Return a process in words, as far as it can still be seen."""
    pid, _ = identity
    command, state = "?", "gone"
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        command = file.read(300).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        head, _, tail = stat.read().rpartition(")")
        state = tail.split()[0]
        command = command or head.partition("(")[2]
    return f"{pid} ({'a zombie of ours' if state == 'Z' else state}): {command}"


def _mentions(pid: int, words: tuple[bytes, ...]) -> bool:
    for name in ("cmdline", "environ", "cgroup", "mountinfo"):
        with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            content = file.read()
            if any(word in content for word in words):
                return True
    return False


def _stat() -> Iterator[tuple[Identity, int, str]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
                yield (int(name), int(fields[19])), int(fields[1]), fields[0]
