"""A task group whose errors reach the caller as themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Like ``asyncio.TaskGroup``, but raise the body's own error, or else the first task's, instead of a group."""
    from_body: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            try:
                yield tasks
            except BaseException as error:
                from_body = error
                raise
    except BaseExceptionGroup as group:
        if from_body is not None and not isinstance(from_body, asyncio.CancelledError):
            raise from_body from from_body.__cause__
        raise group.exceptions[0] from group.exceptions[0].__cause__
