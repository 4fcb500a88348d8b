"""Coroutines, iterators and contexts that tell what happens to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

TURNS = 2000
"""Turns of the loop that a clean-up takes: far longer than a thread that does not wait for it needs to go on."""


async def slowly(log: list[str], word: str) -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    log.append(word)


class Boom(Exception):
    pass


async def explode() -> None:
    await asyncio.sleep(0)
    raise Boom


class Source:
    """An asynchronous generator that tells what happens to it."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.closed = threading.Event()
        self.tasks: set[asyncio.Task[object] | None] = set()

    async def items(self) -> AsyncGenerator[int, None]:
        self.tasks.add(asyncio.current_task())
        try:
            for number in range(100):
                self.given.append(number)
                yield number
        finally:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self.tasks.add(asyncio.current_task())
            self.closed.set()


@asynccontextmanager
async def context(log: list[str], swallow: type[Exception] | tuple[type[Exception], ...] = ()) -> AsyncIterator[str]:
    task = asyncio.current_task()
    try:
        yield "value"
    except BaseException as error:
        log.append(type(error).__name__)
        if not (swallow and isinstance(error, swallow)):
            raise
    finally:
        await slowly(log, "left by the same task" if asyncio.current_task() is task else "left by another task")


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield
