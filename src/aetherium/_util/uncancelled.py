"""Run something to its end, whatever happens to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` to its end even if this task is cancelled meanwhile; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if not task.done():
                cancelled = error
        except BaseException:  # noqa: S110 (raised from task.result below)
            pass
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen; the cancellation takes precedence
        raise cancelled
    return task.result()
