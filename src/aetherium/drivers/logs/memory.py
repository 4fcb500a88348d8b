"""Keeps the latest lines in this process, where they can be asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from weakref import WeakSet

from aetherium.drivers.logs import RANK
from aetherium.model.errors import InvalidArgument
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogQuery, LogSink


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``max_lines`` are kept, the oldest go first; a reader that follows may be as many behind."""

    max_lines: int = 10_000
    level: Level = Level.DEBUG


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path | None = None) -> AsyncIterator[LogSink]:
    """Open an empty sink; when it closes, whoever follows comes to the end."""
    sink = _MemorySink(config)
    try:
        yield sink
    finally:
        sink.close()


class _MemorySink:
    def __init__(self, config: Config) -> None:
        if config.max_lines < 1:
            raise InvalidArgument(f"max_lines is {config.max_lines}; it must be at least 1")
        self._lines: deque[LogLine] = deque(maxlen=config.max_lines)
        self._least = RANK[config.level]
        self._followers: WeakSet[_Follower] = WeakSet()
        self._is_open = True

    @property
    def can_query(self) -> bool:
        return True

    async def append(self, lines: Sequence[LogLine]) -> None:
        taken = [line for line in lines if RANK[line.level] >= self._least]
        self._lines.extend(taken)
        for follower in self._followers:
            follower.offer(taken)

    async def query(self, query: LogQuery) -> Sequence[LogLine]:
        return self._find(query)

    def follow(self, query: LogQuery) -> AsyncIterator[LogLine]:
        follower = _Follower(query, self._find(query), self._lines.maxlen)
        if self._is_open:
            self._followers.add(follower)
        else:
            follower.end()
        return follower

    async def flush(self) -> None:
        pass

    def close(self) -> None:
        self._is_open = False
        for follower in self._followers:
            follower.end()

    def _find(self, query: LogQuery) -> list[LogLine]:
        if query.limit < 0:
            raise InvalidArgument(f"limit is {query.limit}; it cannot be less than 0")
        newest_first = (line for line in reversed(self._lines) if _matches(line, query))
        return list(islice(newest_first, query.limit))[::-1]


class _Follower:
    """Lines that one reader has not taken yet. Not an async generator, since cancelling one that waits would end it."""

    def __init__(self, query: LogQuery, there: list[LogLine], max_lines: int | None) -> None:
        self._query = query
        self._lines = deque(there, max_lines)
        self._changed = asyncio.Event()
        self._ended = False

    def offer(self, lines: Sequence[LogLine]) -> None:
        self._lines.extend(line for line in lines if _matches(line, self._query))
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[LogLine]:
        return self

    async def __anext__(self) -> LogLine:
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._lines.popleft()


def _matches(line: LogLine, query: LogQuery) -> bool:
    return (
        RANK[line.level] >= RANK[query.level]
        and (query.since is None or line.at >= query.since)
        and (query.until is None or line.at < query.until)
        and _has(line.labels, query.labels)
        and _has(line.fields, query.fields)
    )


def _has(there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(there.get(name) == value for name, value in wanted.items())
