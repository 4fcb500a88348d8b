"""What every event bus does. A provider's test file subclasses ``BusConformance`` and gives it ``bus``.

Needs pytest-asyncio in auto mode. Each wait for an event has a deadline of ``patience_s``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from aetherium.model.errors import InvalidArgument
from aetherium.model.event import Event
from aetherium.ports.bus import EventBus


def event(number: int, kind: str = "vm.started") -> Event:
    """Return a plain event that its number tells apart."""
    at = datetime(2026, 1, 1, 12, 30, 0, 5, tzinfo=UTC)
    return Event(f"evt-{number}", kind, "vm-1", at, {"n": number, "text": "é\0", "none": None, "flag": True, "f": 0.5})


class BusConformance:
    """The suite. A test that expects silence publishes a last event and sees it come first."""

    patience_s: ClassVar[float] = 20

    @pytest.fixture
    def bus(self) -> EventBus:
        """Open a bus with nothing on it."""
        raise NotImplementedError

    async def take(self, events: AsyncIterator[Event], count: int) -> list[Event]:
        async with asyncio.timeout(self.patience_s):
            return [await anext(events) for _ in range(count)]

    async def publish(self, bus: EventBus, *events: Event) -> None:
        async with asyncio.timeout(self.patience_s):
            for each in events:
                await bus.publish(each)

    async def test_an_event_arrives_whole(self, bus: EventBus) -> None:
        async with bus.subscribe() as events:
            await self.publish(bus, event(1))
            assert await self.take(events, 1) == [event(1)]

    async def test_every_subscriber_gets_every_event_in_order(self, bus: EventBus) -> None:
        published = [event(number) for number in range(200)]
        async with AsyncExitStack() as stack:
            subscriptions = [await stack.enter_async_context(bus.subscribe()) for _ in range(5)]
            await self.publish(bus, *published)
            for events in subscriptions:
                assert await self.take(events, 200) == published

    async def test_order_holds_within_a_topic_whoever_publishes(self, bus: EventBus) -> None:
        async def publish(kind: str) -> None:
            for number in range(50):
                await bus.publish(event(number, kind))
                await asyncio.sleep(0)

        kinds = ["vm.a", "vm.b", "vm.c"]
        async with bus.subscribe("vm.*") as events:
            await asyncio.gather(*(publish(kind) for kind in kinds))
            got = await self.take(events, 150)
        for kind in kinds:
            assert [each.data["n"] for each in got if each.type == kind] == list(range(50))

    async def test_a_subscriber_may_wait_before_the_event_comes(self, bus: EventBus) -> None:
        async with bus.subscribe() as events:
            waiting = asyncio.create_task(self.take(events, 1))
            await asyncio.sleep(0)
            await self.publish(bus, event(1))
            assert await waiting == [event(1)]

    async def test_what_was_before_the_subscription_does_not_come(self, bus: EventBus) -> None:
        await self.publish(bus, event(1))
        async with bus.subscribe() as events:
            await self.publish(bus, event(2))
            assert await self.take(events, 1) == [event(2)]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*", ["vm", "vm.started", "vm.stopped", "vm.started.again", "vms.x", "my.vm.x"]),
            ("vm.*", ["vm.started", "vm.stopped", "vm.started.again"]),
            ("vm.started", ["vm.started"]),
            ("vm.st*", ["vm.started", "vm.stopped", "vm.started.again"]),
            ("vm", ["vm"]),
            ("started", []),
            ("VM.*", []),
            ("vm.?tarted", []),
            ("vm.[s]*", []),
        ],
    )
    async def test_patterns(self, bus: EventBus, pattern: str, expected: list[str]) -> None:
        kinds = ["vm", "vm.started", "vm.stopped", "vm.started.again", "vms.x", "my.vm.x"]
        last = pattern.replace("*", "last")
        async with bus.subscribe(pattern) as events:
            await self.publish(bus, *(event(number, kind) for number, kind in enumerate([*kinds, last])))
            assert [each.type for each in await self.take(events, len(expected) + 1)] == [*expected, last]

    @pytest.mark.parametrize("pattern", ["", "*.started", "vm.*.x", "**", "vm.**"])
    async def test_a_pattern_that_means_nothing_is_refused(self, bus: EventBus, pattern: str) -> None:
        with pytest.raises(InvalidArgument):
            async with bus.subscribe(pattern):
                pass

    @pytest.mark.parametrize("backlog", [0, -1])
    async def test_a_backlog_has_room_for_one(self, bus: EventBus, backlog: int) -> None:
        with pytest.raises(InvalidArgument):
            async with bus.subscribe(backlog=backlog):
                pass

    async def test_a_slow_subscriber_loses_the_oldest_and_is_told(self, bus: EventBus) -> None:
        published = [event(number) for number in range(25)]
        async with bus.subscribe(backlog=10) as slow, bus.subscribe(backlog=25) as fast:
            await self.publish(bus, *published)
            assert await self.take(fast, 25) == published
            lost, *rest = await self.take(slow, 11)
            assert (lost.type, lost.data["count"]) == ("events.lost", 15)
            assert rest == published[15:]
            # Told once, and not disturbed again once it keeps up.
            await self.publish(bus, event(99))
            assert await self.take(slow, 1) == [event(99)]

    async def test_a_subscriber_exactly_its_backlog_behind_loses_nothing(self, bus: EventBus) -> None:
        async with bus.subscribe(backlog=3) as events:
            await self.publish(bus, event(1), event(2), event(3))
            assert await self.take(events, 3) == [event(1), event(2), event(3)]

    async def test_losses_while_reading_are_counted_each(self, bus: EventBus) -> None:
        async with bus.subscribe(backlog=1) as events:
            await self.publish(bus, event(1), event(2), event(3))
            lost, last = await self.take(events, 2)
            assert (lost.data["count"], last) == (2, event(3))
            await self.publish(bus, event(4), event(5))
            lost, last = await self.take(events, 2)
            assert (lost.data["count"], last) == (1, event(5))

    async def test_a_subscriber_that_never_reads_holds_nobody_up(self, bus: EventBus) -> None:
        async with bus.subscribe(backlog=1), bus.subscribe(backlog=5000) as events:
            await self.publish(bus, *(event(number) for number in range(5000)))
            assert [each.data["n"] for each in await self.take(events, 5000)] == list(range(5000))

    async def test_a_subscriber_that_raises_harms_only_itself(self, bus: EventBus) -> None:
        async with bus.subscribe() as others:
            with pytest.raises(ZeroDivisionError):
                await self.fail_at_first(bus)
            await self.publish(bus, event(2))
            assert await self.take(others, 2) == [event(1), event(2)]

    async def fail_at_first(self, bus: EventBus) -> None:
        async with bus.subscribe() as events:
            await self.publish(bus, event(1))
            async for _ in events:
                raise ZeroDivisionError

    async def test_nothing_comes_after_the_subscription(self, bus: EventBus) -> None:
        async with bus.subscribe() as events:
            await self.publish(bus, event(1))
        await self.publish(bus, event(2))
        async with asyncio.timeout(self.patience_s):
            assert [each async for each in events] == []

    async def test_the_end_of_the_subscription_ends_whoever_waits(self, bus: EventBus) -> None:
        async def wait() -> list[Event]:
            return [each async for each in events]

        async with bus.subscribe() as events:
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
        async with asyncio.timeout(self.patience_s):
            assert await waiting == []

    async def test_giving_up_a_wait_loses_nothing(self, bus: EventBus) -> None:
        async with bus.subscribe() as events:
            for number in range(5):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await anext(events)
                await self.publish(bus, event(number))
                assert await self.take(events, 1) == [event(number)]

    async def test_a_cancelled_subscriber_is_gone(self, bus: EventBus) -> None:
        subscribed = asyncio.Event()

        async def listen() -> None:
            async with bus.subscribe() as events:
                subscribed.set()
                async for _ in events:
                    pass

        async with bus.subscribe() as others:
            task = asyncio.create_task(listen())
            await subscribed.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            await self.publish(bus, event(1))
            assert await self.take(others, 1) == [event(1)]

    async def test_a_subscriber_may_publish_subscribe_and_leave_as_it_listens(self, bus: EventBus) -> None:
        async with bus.subscribe("a.*") as first:
            await self.publish(bus, event(1, "a.x"))
            async with asyncio.timeout(self.patience_s):
                async for each in first:
                    async with bus.subscribe("b.*") as second:
                        await bus.publish(event(2, "b.x"))
                        assert (each, await anext(second)) == (event(1, "a.x"), event(2, "b.x"))
                    break

    async def test_publishing_to_nobody(self, bus: EventBus) -> None:
        await self.publish(bus, event(1))
