"""Every event bus passes the suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aetherium.drivers.bus import memory
from aetherium.ports.bus import EventBus
from aetherium.testing.bus import BusConformance, event


class TestMemory(BusConformance):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[EventBus]:
        async with memory.open_(memory.Config()) as bus:
            yield bus

    async def test_closing_the_bus_ends_its_subscriptions(self) -> None:
        async with memory.open_(memory.Config()) as bus:
            subscription = bus.subscribe()
            events = await subscription.__aenter__()
            await bus.publish(event(1))
            assert await anext(events) == event(1)
        async with asyncio.timeout(self.patience_s):
            assert [each async for each in events] == []
        await subscription.__aexit__(None, None, None)
