"""Carries the engine's own log records to the configured log sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from aetherium._util.tasks import task_group
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogSink

_LOGGER: Final = logging.getLogger("aetherium")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MOST_WAITING: Final = 10_000


@asynccontextmanager
async def logging_to(sink: LogSink, level: Level) -> AsyncIterator[None]:
    """Send what the engine logs at ``level`` and above to ``sink`` until the context ends.

    Closing the sink writes what it still has.
    """
    waiting: asyncio.Queue[LogLine] = asyncio.Queue(_MOST_WAITING)
    handler = _Handler(waiting)
    before = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(level.value.upper())
    try:
        async with task_group() as tasks:
            carrying = tasks.create_task(_carry(waiting, sink), name="log lines")
            try:
                yield
            finally:
                carrying.cancel()
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(before)
        await sink.append(_drain(waiting))


async def _carry(waiting: asyncio.Queue[LogLine], sink: LogSink) -> None:
    while True:
        first = await waiting.get()
        await sink.append([first, *_drain(waiting)])


def _drain(waiting: asyncio.Queue[LogLine]) -> list[LogLine]:
    lines = []
    while not waiting.empty():
        lines.append(waiting.get_nowait())
    return lines


class _Handler(logging.Handler):
    """Queues records without waiting; what exceeds the queue is dropped. Threads hand over through the loop."""

    def __init__(self, waiting: asyncio.Queue[LogLine]) -> None:
        super().__init__()
        self._waiting = waiting
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        line = _line(record)
        try:
            self._loop.call_soon_threadsafe(self._put, line)
        except RuntimeError:
            self.handleError(record)  # the loop is closed

    def _put(self, line: LogLine) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait(line)


def _line(record: logging.LogRecord) -> LogLine:
    fields = {name: str(value) for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = repr(record.exc_info[1])
    return LogLine(
        at=datetime.fromtimestamp(record.created, UTC),
        level=_level(record.levelno),
        message=record.getMessage(),
        labels={"logger": record.name},
        fields=fields,
    )


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARNING
    return Level.INFO if number >= logging.INFO else Level.DEBUG
