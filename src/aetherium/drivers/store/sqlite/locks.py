"""Named locks: files in the state directory, which the kernel unlocks when their holder dies."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aetherium._util.filelock import file_lock
from aetherium.drivers.store.sqlite.errors import mapped
from aetherium.model.errors import DeadlineExceeded, InvalidArgument

_LONGEST: Final = 240


@asynccontextmanager
async def lock(directory: Path, name: str, *, timeout_s: float) -> AsyncIterator[None]:
    """Hold ``name`` alone. DeadlineExceeded says who has it."""
    file_name = quote(name, safe="", errors="surrogateescape")
    if not file_name or len(file_name) > _LONGEST:
        raise InvalidArgument(f"a lock's name has 1 to {_LONGEST} characters: {name!r}")
    path = directory / f"{file_name}.lock"
    held = file_lock(path, timeout_s=timeout_s)
    with mapped(path):
        try:
            await held.__aenter__()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{name} is in use by {_holder(path)}: it was not free within {timeout_s:g} s",
                remedy="try again when that has finished; if it hangs, end it and the lock is free",
            ) from None
    try:
        yield
    finally:
        with mapped(path):
            await held.__aexit__(None, None, None)


def _holder(path: Path) -> str:
    """Say who holds the lock, as far as the kernel tells."""
    try:
        there = path.stat()
        device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == device:
                return _describe(int(fields[4]))
    except (OSError, ValueError, IndexError):
        pass
    return "another process"


def _describe(pid: int) -> str:
    if pid <= 0:  # of another PID namespace
        return "a process of another container"
    if pid == os.getpid():
        return "another operation of this process"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({' '.join(words).strip()[:80]})"
