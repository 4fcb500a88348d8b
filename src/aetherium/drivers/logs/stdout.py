"""Writes lines to standard output or error: text for people, JSON for collectors.

A thread does the writing, because the descriptor belongs to others too and may not be made non-blocking: when nobody
reads the pipe, lines wait, then are lost and counted, and the event loop never notices.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

from aetherium._util.clock import Clock, SystemClock, format_time
from aetherium.drivers.logs import RANK
from aetherium.model.config import LogFormat
from aetherium.model.errors import InvalidArgument, Unsupported
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogQuery, LogSink

_DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}
_MOST_WAITING: Final = 8 * 1024 * 1024
_CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``format``: ``text`` or ``json``, one object a line; ``stream``; lines below ``level`` are not written."""

    format: LogFormat = LogFormat.TEXT
    stream: Literal["stdout", "stderr"] = "stdout"
    level: Level = Level.INFO


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path | None = None, clock: Clock | None = None) -> AsyncIterator[LogSink]:
    """Open the sink. Closing waits a moment for lines that nobody reads, then gives them up."""
    if config.format not in _FORMATS or config.stream not in _DESCRIPTORS:
        raise InvalidArgument(
            f"logging to {config.stream!r} as {config.format!r}",
            remedy="format: text or json; stream: stdout or stderr",
        )
    sink = _StreamSink(_FORMATS[config.format], config.level, _DESCRIPTORS[config.stream], clock or SystemClock())
    try:
        yield sink
    finally:
        await sink.close()


class _StreamSink:
    def __init__(self, form: Callable[[LogLine], str], level: Level, fd: int, clock: Clock) -> None:
        self._form = form
        self._least = RANK[level]
        self._clock = clock
        self._writer = _Writer(fd, self._loss)

    @property
    def can_query(self) -> bool:
        return False

    async def append(self, lines: Sequence[LogLine]) -> None:
        texts = [self._form(line) for line in lines if RANK[line.level] >= self._least]
        if texts:
            self._writer.put("".join(texts).encode(), len(texts))

    async def query(self, query: LogQuery) -> Sequence[LogLine]:
        raise _unsupported()

    def follow(self, query: LogQuery) -> AsyncIterator[LogLine]:
        raise _unsupported()

    async def flush(self) -> None:
        loop = asyncio.get_running_loop()
        reached = loop.create_future()

        def done() -> None:
            if not reached.done():
                reached.set_result(None)

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is gone, and so is who asked
                loop.call_soon_threadsafe(done)

        self._writer.call(tell)
        await reached

    async def close(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self.flush()
        finally:
            self._writer.end()

    def _loss(self, count: int) -> bytes:
        line = LogLine(self._clock.now(), Level.WARNING, "log lines were lost", fields={"count": str(count)})
        return self._form(line).encode()


class _Writer:
    """Writes batches in order, each in one go, on a thread that may be left behind when its pipe is stuck."""

    def __init__(self, fd: int, loss: Callable[[int], bytes]) -> None:
        self._fd = fd
        self._loss = loss
        self._lock = threading.Lock()  # for the two counters; never held while writing
        self._waiting = 0
        self._lost = 0
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, text: bytes, lines: int) -> None:
        """Take a batch, or lose it when too much waits already. Says before the next batch how many were lost."""
        with self._lock:
            if self._waiting and self._waiting + len(text) > _MOST_WAITING:
                self._lost += lines
                return
            lost, self._lost = self._lost, 0
            batch = self._loss(lost) + text if lost else text
            self._waiting += len(batch)
        self.call(lambda: self._write(batch, lines + lost))

    def call(self, work: Callable[[], None]) -> None:
        """Run ``work`` on the thread when all batches before are written or lost."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="aetherium-log-writer", daemon=True)
            self._thread.start()
        self._work.put(work)

    def end(self) -> None:
        """End the thread as soon as it has nothing left to do."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _write(self, batch: bytes, lines: int) -> None:
        try:
            self._write_all(memoryview(batch))
        except OSError:  # nobody reads any more, or there is no such descriptor: tell the next reader, if any
            with self._lock:
                self._lost += lines
        finally:
            with self._lock:
                self._waiting -= len(batch)

    def _write_all(self, rest: memoryview) -> None:
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody else made it non-blocking
                ready = select.poll()
                ready.register(self._fd, select.POLLOUT)
                ready.poll()


def _as_json(line: LogLine) -> str:
    # ASCII: whatever a guest printed stays one line, and does nothing to a terminal.
    data = {
        "at": format_time(line.at),
        "level": line.level.value,
        "message": line.message,
        "labels": dict(line.labels),
        "fields": dict(line.fields),
    }
    return json.dumps(data, separators=(",", ":")) + "\n"


def _as_text(line: LogLine) -> str:
    words = [format_time(line.at), f"{line.level.value.upper():7}", _printable(line.message)]
    words += _pairs(line.labels) + _pairs(line.fields)
    return " ".join(words) + "\n"


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{_word(name)}={_word(value)}" for name, value in values.items()]


def _word(text: str) -> str:
    if text and not any(c in ' "=' for c in text):
        return _printable(text)
    return _printable('"' + text.replace('"', '\\"') + '"')


def _printable(text: str) -> str:
    """Escape what would end the line or steer a terminal, and what is no text at all."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def _unsupported() -> Unsupported:
    return Unsupported("lines on standard output cannot be asked for", remedy="set logging.provider to one that can")


_FORMATS: Final[Mapping[LogFormat, Callable[[LogLine], str]]] = {LogFormat.TEXT: _as_text, LogFormat.JSON: _as_json}
