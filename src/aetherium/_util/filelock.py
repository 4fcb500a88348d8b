"""A lock between processes that the kernel drops when its holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aetherium._util.backoff import delays


@asynccontextmanager
async def file_lock(path: Path, *, timeout_s: float) -> AsyncIterator[None]:
    """Hold an exclusive ``flock`` on ``path`` (made if missing, removed at the end). Raises TimeoutError, OSError.

    Safe between processes, between tasks, and against ``kill -9`` of the holder.
    """
    fd = await _acquire(path, timeout_s)
    try:
        yield
    finally:
        try:
            # Unless somebody else removed ours: then what is there now may be the lock of the next holder.
            if _is_still(path, fd):
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)


async def _acquire(path: Path, timeout_s: float) -> int:
    async with asyncio.timeout(timeout_s):
        for delay in delays(0.001, 0.05):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The last holder may have removed the file between our open and our lock: then the lock is on a
                # file nobody else will ever find.
                if _is_still(path, fd):
                    return fd
            except BlockingIOError:
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)
            await asyncio.sleep(delay)
    raise AssertionError("delays() is endless")


def _is_still(path: Path, fd: int) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))
