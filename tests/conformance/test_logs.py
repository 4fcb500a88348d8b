"""Every log sink passes the suite."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from aetherium.drivers.logs import memory, stdout
from aetherium.model.config import LogFormat
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogSink
from aetherium.testing.logs import LogConformance, QueryableLogConformance, Written


class TestMemory(QueryableLogConformance):
    @pytest.fixture
    async def sink(self) -> AsyncIterator[LogSink]:
        async with memory.open_(memory.Config(max_lines=1000)) as sink:
            yield sink


class TestJSONOnStdout(LogConformance):
    @pytest.fixture
    async def sink(self, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[LogSink]:
        async with stdout.open_(stdout.Config(format=LogFormat.JSON, level=Level.DEBUG)) as sink:
            yield sink

    @pytest.fixture
    def written(self, capfd: pytest.CaptureFixture[str]) -> Written:
        async def read() -> list[LogLine]:
            text = capfd.readouterr().out
            assert text.isascii()
            return [
                LogLine(
                    at=datetime.fromisoformat(data.pop("at")),
                    level=Level(data.pop("level")),
                    **data,
                )
                for data in map(json.loads, text.splitlines())
            ]

        return read
