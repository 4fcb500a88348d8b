"""A leak census: what there is before a test and after it must be the same.

``Census.of(places)`` counts; ``leaks`` compares, waiting a little for what the kernel takes away after the fact. What
belongs to us is found by three signs: it descends from this process, it is in this process (descriptors, threads,
tasks), or it mentions one of our ``places`` or ``names`` somewhere: argument, environment, mount, cgroup, open file.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from aetherium._util.backoff import delays
from aetherium.testing import processes

PATIENCE_S = 2.0
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """How to know what is ours: directories that only we use, and names (of VMs) that only we have."""

    places: tuple[Path, ...] = ()
    names: frozenset[str] = frozenset()

    @property
    def words(self) -> tuple[bytes, ...]:
        """What to look for in bytes."""
        return (*(os.fsencode(place) for place in self.places), *(name.encode() for name in self.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What there is, each thing under an identity that is not used twice."""

    processes: frozenset[processes.Identity] = frozenset()
    mounts: frozenset[str] = frozenset()
    cgroups: frozenset[str] = frozenset()
    netns: frozenset[str] = frozenset()
    descriptors: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    threads: frozenset[str] = frozenset()

    @classmethod
    def of(cls, signs: Signs, *, before: Census | None = None) -> Self:
        """Count. ``before`` saves the work of looking at processes that were there already."""
        known = frozenset[processes.Identity]() if before is None else before.processes
        return cls(
            processes=known if before is None else processes.ours(signs.words, known),
            mounts=frozenset(_mounts()),
            cgroups=frozenset(_cgroups(signs.names)),
            netns=frozenset(_netns()),
            descriptors=frozenset(_descriptors()),
            files=frozenset(_files(signs)),
            tasks=frozenset(_tasks()),
            threads=frozenset(_threads()),
        )

    @classmethod
    def first(cls, signs: Signs) -> Self:
        """Count before a test: every process there is counts as known."""
        return cls.of(signs, before=cls(processes=processes.everybody()))


async def leaks(before: Census, signs: Signs, *, of: str = "", patience_s: float = PATIENCE_S) -> list[str]:
    """Return what is there and was not before, each thing named; empty as soon as there is none. ``of`` limits it to
    a kind (``process``)."""
    deadline = asyncio.get_running_loop().time() + patience_s
    for delay in delays(0.002, 0.05):
        found = [leak for leak in compare(before, Census.of(signs, before=before), signs) if leak.startswith(of)]
        if not found or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(delay)
    raise AssertionError("delays() is endless")


def compare(before: Census, after: Census, signs: Signs) -> list[str]:
    """Return what ``after`` has more than ``before``."""
    found = [f"process {processes.describe(new)}" for new in sorted(after.processes - before.processes)]
    for field in fields(Census):
        if field.name == "processes":
            continue
        new: frozenset[str] = getattr(after, field.name) - getattr(before, field.name)
        if field.name == "mounts":
            new = frozenset(mount for mount in new if any(word in mount.encode() for word in signs.words))
        found += [f"{field.name.removesuffix('s')} {thing}" for thing in sorted(new)]
    return found


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        yield " ".join(line.split()[3:5])


def _cgroups(names: Iterable[str]) -> Iterator[str]:
    wanted = tuple(names)
    for parent, directories, _ in os.walk(_CGROUPS):
        for directory in directories:
            if any(name in directory for name in wanted):
                yield os.path.join(parent, directory)


def _netns() -> Iterator[str]:
    for directory in ("/run/netns", "/var/run/netns"):
        with suppress(OSError):
            yield from (f"{directory}/{name}" for name in os.listdir(directory))


def _descriptors() -> Iterator[str]:
    with os.scandir("/proc/self/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                target = os.readlink(entry.path)
                if not target.startswith("/proc/"):  # our own look at them
                    yield f"{entry.name} -> {target}"


def _files(signs: Signs) -> Iterator[str]:
    """Every file; directories only when they carry a VM's name: a driver may keep its skeleton."""
    for place in signs.places:
        for parent, directories, names in os.walk(place):
            yield from (os.path.join(parent, name) for name in names)
            for directory in directories:
                if any(name in directory for name in signs.names):
                    yield os.path.join(parent, directory)


def _tasks() -> Iterator[str]:
    try:
        current = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not current:
                yield f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')}, {id(task):#x})"
    except RuntimeError:
        return


def _threads() -> Iterator[str]:
    for thread in threading.enumerate():
        # Those of the event loop's default executor are the loop's, and end with it.
        if not thread.name.startswith("asyncio_"):
            yield f"{thread.name} ({thread.ident})"
