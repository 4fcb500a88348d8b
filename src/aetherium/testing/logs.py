"""What every log sink does. A provider's test file subclasses ``QueryableLogConformance`` and gives it ``sink``; or,
where the sink cannot be asked, ``LogConformance`` and also ``written``. Needs pytest-asyncio in auto mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeAlias

import pytest

from aetherium.model.errors import Unsupported
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogQuery, LogSink

Written: TypeAlias = Callable[[], Awaitable[Sequence[LogLine]]]

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(
    number: int,
    message: str | None = None,
    *,
    level: Level = Level.INFO,
    labels: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
) -> LogLine:
    """Return a line of second ``number``."""
    at = START + timedelta(seconds=number)
    return LogLine(at, level, f"line {number}" if message is None else message, labels or {}, fields or {})


class LogConformance:
    """The suite. ``sink`` takes every level and has room for 1000 lines."""

    @pytest.fixture
    def sink(self) -> LogSink:
        """Open an empty sink."""
        raise NotImplementedError

    @pytest.fixture
    def written(self, sink: LogSink) -> Written:
        """Return what tells all lines that are where they go, oldest first."""
        return lambda: sink.query(LogQuery(limit=100_000))

    async def test_lines_arrive_whole_and_in_order(self, sink: LogSink, written: Written) -> None:
        lines = [
            line(number, level=level, labels={"vm": "a", "stream": "stdout"}, fields={"n": str(number), "é": ""})
            for number, level in enumerate([*Level, *Level])
        ]
        await sink.append(lines)
        await sink.flush()
        assert list(await written()) == lines

    async def test_order_holds_over_many_batches(self, sink: LogSink, written: Written) -> None:
        for start in range(0, 1000, 10):
            await sink.append([line(number) for number in range(start, start + 10)])
        await sink.flush()
        assert list(await written()) == [line(number) for number in range(1000)]

    async def test_lines_that_are_late_keep_their_place(self, sink: LogSink, written: Written) -> None:
        lines = [line(5), line(1), line(3)]
        await sink.append(lines)
        await sink.flush()
        assert list(await written()) == lines

    async def test_batches_of_many_tasks_are_not_mixed_up(self, sink: LogSink, written: Written) -> None:
        async def write(task: int) -> None:
            for batch in range(5):
                await sink.append([line(0, f"{task} {batch} {number}") for number in range(5)])
                await asyncio.sleep(0)

        await asyncio.gather(*(write(task) for task in range(10)))
        await sink.flush()
        messages = [each.message for each in await written()]
        assert len(messages) == 250
        for task in range(10):
            own = [message for message in messages if message.startswith(f"{task} ")]
            assert own == [f"{task} {batch} {number}" for batch in range(5) for number in range(5)]
        for start in range(0, 250, 5):
            assert len({message.rpartition(" ")[0] for message in messages[start : start + 5]}) == 1

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "two\nlines\r\nand\rmore\x0b\x0c\x1c\x85\u2028\u2029end",
            "\x00\x07\x1b[31mred\x1b[0m\x7f\x9b",
            b"not utf-8: \xff\xfe\x80".decode("utf-8", "surrogateescape"),
            "é 漢 🙂 \ufffd \ufeff",
            '"quotes" \\ and = signs, {"json": true}',
            "x" * 1_000_000,
        ],
        ids=["empty", "space", "newlines", "controls", "surrogates", "unicode", "quotes", "long"],
    )
    async def test_any_text_is_one_line(self, sink: LogSink, written: Written, text: str) -> None:
        lines = [line(1, text, labels={"label": text}, fields={"field": text, text: "x"}), line(2, "after")]
        await sink.append(lines)
        await sink.flush()
        assert list(await written()) == lines

    async def test_nothing_is_no_line(self, sink: LogSink, written: Written) -> None:
        await sink.append([])
        await sink.flush()
        assert list(await written()) == []

    async def test_flush_is_repeatable(self, sink: LogSink) -> None:
        await sink.append([line(1)])
        await asyncio.gather(sink.flush(), sink.flush())
        await sink.flush()

    async def test_a_sink_answers_or_says_that_it_cannot(self, sink: LogSink) -> None:
        if sink.can_query:
            assert list(await sink.query(LogQuery())) == []
        else:
            with pytest.raises(Unsupported):
                await sink.query(LogQuery())
            with pytest.raises(Unsupported):
                await anext(aiter(sink.follow(LogQuery())))


class QueryableLogConformance(LogConformance):
    """The suite of ``LogConformance``, and more for sinks that can be asked."""

    patience_s: ClassVar[float] = 20

    async def take(self, lines: AsyncIterator[LogLine], count: int) -> list[LogLine]:
        async with asyncio.timeout(self.patience_s):
            return [await anext(lines) for _ in range(count)]

    async def test_it_can_be_asked(self, sink: LogSink) -> None:
        assert sink.can_query

    async def test_query_filters(self, sink: LogSink) -> None:
        lines = [
            line(0, level=Level.DEBUG, labels={"vm": "a"}, fields={"exec": "1"}),
            line(1, level=Level.INFO, labels={"vm": "a", "stream": "x"}, fields={"exec": "2"}),
            line(2, level=Level.WARNING, labels={"vm": "b"}),
            line(3, level=Level.ERROR, fields={"vm": "a"}),
        ]
        await sink.append(lines)
        await sink.flush()
        one, two, three = (START + timedelta(seconds=number) for number in (1, 2, 3))
        for query, expected in (
            (LogQuery(), [0, 1, 2, 3]),
            (LogQuery(level=Level.DEBUG), [0, 1, 2, 3]),
            (LogQuery(level=Level.INFO), [1, 2, 3]),
            (LogQuery(level=Level.WARNING), [2, 3]),
            (LogQuery(level=Level.ERROR), [3]),
            (LogQuery(since=one), [1, 2, 3]),
            (LogQuery(until=one), [0]),
            (LogQuery(since=one, until=three), [1, 2]),
            (LogQuery(since=two, until=two), []),
            (LogQuery(labels={"vm": "a"}), [0, 1]),
            (LogQuery(labels={"vm": "a", "stream": "x"}), [1]),
            (LogQuery(labels={"vm": ""}), []),
            (LogQuery(fields={"vm": "a"}), [3]),
            (LogQuery(labels={"vm": "a"}, fields={"exec": "2"}), [1]),
            (LogQuery(limit=2), [2, 3]),
            (LogQuery(limit=1, labels={"vm": "a"}), [1]),
            (LogQuery(limit=4), [0, 1, 2, 3]),
            (LogQuery(labels={"vm": "a"}, level=Level.INFO, since=one, until=two, limit=9), [1]),
        ):
            assert list(await sink.query(query)) == [lines[number] for number in expected], query

    async def test_follow_gives_what_there_is_then_what_comes(self, sink: LogSink) -> None:
        await sink.append([line(number) for number in range(5)])
        await sink.flush()
        lines = aiter(sink.follow(LogQuery(limit=3)))
        assert await self.take(lines, 3) == [line(2), line(3), line(4)]
        waiting = asyncio.create_task(self.take(lines, 2))
        await asyncio.sleep(0)
        await sink.append([line(5)])
        await sink.append([line(6)])
        assert await waiting == [line(5), line(6)]

    async def test_follow_misses_nothing_between_old_and_new(self, sink: LogSink) -> None:
        await sink.append([line(0)])
        await sink.flush()
        lines = aiter(sink.follow(LogQuery()))
        got = await self.take(lines, 1)
        for number in range(1, 300):
            await sink.append([line(number)])
        assert got + await self.take(lines, 299) == [line(number) for number in range(300)]

    async def test_follow_filters(self, sink: LogSink) -> None:
        lines = aiter(sink.follow(LogQuery(level=Level.WARNING, labels={"vm": "a"})))
        waiting = asyncio.create_task(self.take(lines, 1))
        await asyncio.sleep(0)
        right = line(3, level=Level.ERROR, labels={"vm": "a"})
        await sink.append([line(1, level=Level.ERROR), line(2, labels={"vm": "a"}), right])
        assert await waiting == [right]

    async def test_giving_up_a_wait_loses_nothing(self, sink: LogSink) -> None:
        lines = aiter(sink.follow(LogQuery()))
        for number in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(lines)
            await sink.append([line(number)])
            assert await self.take(lines, 1) == [line(number)]

    async def test_followers_do_not_disturb_each_other(self, sink: LogSink) -> None:
        await sink.append([line(0)])
        await sink.flush()
        idle, busy = (aiter(sink.follow(LogQuery())) for _ in range(2))
        assert await self.take(busy, 1) == [line(0)]
        for number in range(1, 500):
            await sink.append([line(number)])
        assert await self.take(busy, 499) == [line(number) for number in range(1, 500)]
        assert await self.take(idle, 500) == [line(number) for number in range(500)]
