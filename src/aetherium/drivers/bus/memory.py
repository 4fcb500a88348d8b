"""Carries events between the tasks of this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aetherium._util.clock import Clock, SystemClock
from aetherium._util.ids import new_id
from aetherium.model.errors import InvalidArgument
from aetherium.model.event import Event
from aetherium.ports.bus import EventBus


@dataclass(frozen=True, slots=True)
class Config:
    """There is nothing to choose."""


@asynccontextmanager
async def open_(
    config: Config, *, state_dir: Path | None = None, clock: Clock | None = None
) -> AsyncIterator[EventBus]:
    """Open a bus; when it closes, all its subscriptions end."""
    bus = _MemoryBus(clock or SystemClock())
    try:
        yield bus
    finally:
        bus.close()


class _MemoryBus:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscriptions: set[_Subscription] = set()

    async def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)

    @asynccontextmanager
    async def subscribe(self, pattern: str = "*", *, backlog: int = 1024) -> AsyncIterator[AsyncIterator[Event]]:
        subscription = _Subscription(pattern, backlog, self._clock)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            subscription.end()

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()


class _Subscription:
    """The events that one subscriber has not taken yet. Not an async generator, since cancelling one that waits, as a
    timeout around ``anext`` does, would end it."""

    def __init__(self, pattern: str, backlog: int, clock: Clock) -> None:
        prefix, star, rest = pattern.partition("*")
        if not pattern or rest:
            raise InvalidArgument(f"invalid pattern {pattern!r}", remedy="give an event type, or a prefix and *: vm.*")
        if backlog < 1:
            raise InvalidArgument(f"backlog is {backlog}; it must be at least 1")
        self._type = prefix
        self._is_prefix = bool(star)
        self._events: deque[Event] = deque(maxlen=backlog)
        self._clock = clock
        self._lost = 0
        self._ended = False
        self._changed = asyncio.Event()

    def offer(self, event: Event) -> None:
        if event.type == self._type or (self._is_prefix and event.type.startswith(self._type)):
            self._lost += len(self._events) == self._events.maxlen
            self._events.append(event)
            self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._ended:
            if self._lost:
                return self._loss()
            if self._events:
                return self._events.popleft()
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    def _loss(self) -> Event:
        count, self._lost = self._lost, 0
        return Event(new_id("evt"), "events.lost", "", self._clock.now(), {"count": count})
