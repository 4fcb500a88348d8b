"""The port for events: tell whoever listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aetherium.model.event import Event


class EventBus(Protocol):
    """Carries events to subscribers. Order holds per topic; a slow or failing subscriber harms nobody else."""

    async def publish(self, event: Event) -> None:
        """Hand the event to all subscriptions whose pattern matches its type. Never waits for a subscriber."""
        ...

    def subscribe(
        self, pattern: str = "*", *, backlog: int = 1024
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Listen from now until the context ends. ``pattern`` is an event type, or a prefix and ``*`` (``vm.*``). A
        subscriber more than ``backlog`` events behind loses the oldest and gets an ``events.lost`` event with
        ``data["count"]`` in their place."""
        ...
