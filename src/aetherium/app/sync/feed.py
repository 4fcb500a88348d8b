"""Input for a coroutine from an ordinary iterable, which may block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Self, overload

SyncInput = bytes | Iterable[bytes]
"""Bytes, or an iterable of them, read in a thread of its own."""

_END = object()


@overload
def fed(source: Iterable[bytes]) -> AbstractContextManager[AsyncIterable[bytes]]: ...
@overload
def fed(source: SyncInput) -> AbstractContextManager[bytes | AsyncIterable[bytes]]: ...
@overload
def fed(source: SyncInput | None) -> AbstractContextManager[bytes | AsyncIterable[bytes] | None]: ...
@contextmanager
def fed(source: SyncInput | None) -> Iterator[Any]:
    """Make an input what a coroutine can read while the context is open."""
    if source is None or isinstance(source, bytes):
        yield source
        return
    feed = _Feed(source)
    try:
        yield feed
    finally:
        feed.close()


class _Feed:
    """Takes one item from an iterable when one is asked for, in a thread: neither the loop, nor the caller who may be
    reading output, waits for an iterable that blocks."""

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items = items
        self._asked: SimpleQueue[asyncio.Future[object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._questions = 0
        self._answers = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._questions += 1
        self._asked.put(answer)
        if self._thread is None:
            # A daemon: blocked in the iterable (a terminal, a pipe) it would keep the whole program from ending.
            self._thread = threading.Thread(
                target=copy_context().run, args=(self._read,), name="aetherium-input", daemon=True
            )
            self._thread.start()
        item = await answer
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[return-value]  # whatever the caller's iterable gives; its reader checks it

    def _read(self) -> None:
        iterator: Iterator[bytes] | None = None
        while (answer := self._asked.get()) is not None:
            error: Exception | None = None
            item: object = _END
            try:
                iterator = iter(self._items) if iterator is None else iterator
                item = next(iterator, _END)
            except BaseException as raised:
                if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
                    error = raised
                else:  # as itself SystemExit would end the loop that serves every thread, StopIteration be lost in it
                    error = RuntimeError(f"the input raised {raised!r}")
                    error.__cause__ = raised
            self._answers += 1
            with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                answer.get_loop().call_soon_threadsafe(_settle, answer, item, error)
            del answer, item, error

    def close(self) -> None:
        """End the thread. One that waits in the iterable ends when that returns."""
        self._asked.put(None)
        if self._thread is not None and self._questions == self._answers:
            self._thread.join()


def _settle(answer: asyncio.Future[object], item: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(item)
