"""What control groups count, and whether they are frozen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from aetherium._util.backoff import delays


@dataclass(frozen=True, slots=True)
class Account:
    """What a VM used; None where no group counts it."""

    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_s: float | None = None
    oom_kills: int = 0


def account(paths: Iterable[str]) -> Account:
    """Read the counters of a VM's groups, of either version."""
    memory = limit = oom_kills = None
    cpu_s: float | None = None
    for path in paths:
        memory = _first(memory, _number(path, "memory.current"), _number(path, "memory.usage_in_bytes"))
        limit = _first(limit, _number(path, "memory.max"), _number(path, "memory.limit_in_bytes"))
        oom_kills = _first(
            oom_kills, _field(path, "memory.events", "oom_kill"), _field(path, "memory.oom_control", "oom_kill")
        )
        nanoseconds, microseconds = _number(path, "cpuacct.usage"), _field(path, "cpu.stat", "usage_usec")
        if cpu_s is None and nanoseconds is not None:
            cpu_s = nanoseconds / 1e9
        elif cpu_s is None and microseconds is not None:
            cpu_s = microseconds / 1e6
    return Account(memory, limit, cpu_s, oom_kills or 0)


def freezer(paths: Iterable[str]) -> str | None:
    """Return the file that freezes the VM, None when it has none."""
    for path in paths:
        for name in ("freezer.state", "cgroup.freeze"):
            if os.access(f"{path}/{name}", os.W_OK):
                return f"{path}/{name}"
    return None


def is_frozen(file: str) -> bool:
    """Say whether somebody asked for the VM to be frozen."""
    return _read(file).strip() in ("FROZEN", "FREEZING", "1")


async def freeze(file: str, frozen: bool) -> None:
    """Freeze or thaw, and return when every process has stopped or may run. Raises OSError, TimeoutError."""
    old = file.endswith("freezer.state")
    word = ("FROZEN" if frozen else "THAWED") if old else str(int(frozen))
    async with asyncio.timeout(10):
        for delay in delays(0.0005, 0.02):
            thaw_or_freeze(file, word)
            state = _read(file).strip() if old else _events(file)
            if state == (word if old else ("frozen 1" if frozen else "frozen 0")):
                return
            await asyncio.sleep(delay)


def thaw(paths: Iterable[str]) -> None:
    """Let a VM run, or die: a frozen process does not notice that it was killed."""
    file = freezer(paths)
    if file is not None:
        with suppress(OSError):
            thaw_or_freeze(file, "THAWED" if file.endswith("freezer.state") else "0")


def thaw_or_freeze(file: str, word: str) -> None:
    """Write ``word`` to a freezer's file."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, word.encode("ascii"))
    finally:
        os.close(fd)


def _events(file: str) -> str:
    lines = _read(file.removesuffix("freeze") + "events").splitlines()
    return next((line for line in lines if line.startswith("frozen ")), "")


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _number(path: str, name: str) -> int | None:
    text = _read(f"{path}/{name}").strip()
    return int(text) if text.isdecimal() and int(text) < 2**60 else None


def _field(path: str, name: str, field: str) -> int | None:
    for line in _read(f"{path}/{name}").splitlines():
        key, _, value = line.partition(" ")
        if key == field and value.isdecimal():
            return int(value)
    return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
