"""The port for logs: where lines go, and come from where the sink can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aetherium.model.log import Level, LogLine


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines: from ``since`` to before ``until``, of at least ``level``, with all these labels and fields; the
    last ``limit`` of them."""

    since: datetime | None = None
    until: datetime | None = None
    level: Level = Level.DEBUG
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    limit: int = 1000


class LogSink(Protocol):
    """Takes log lines. ``append`` keeps their order."""

    @property
    def can_query(self) -> bool:
        """Whether ``query`` and ``follow`` work."""
        ...

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Write the lines; returns when they are accepted, not when they are durable. Never raises for a full pipe."""
        ...

    async def query(self, query: LogQuery) -> Sequence[LogLine]:
        """Return matching lines in order. Unsupported without ``can_query``."""
        ...

    def follow(self, query: LogQuery) -> AsyncIterator[LogLine]:
        """Yield matching lines: those there are, then new ones as they come. Unsupported without ``can_query``."""
        ...

    async def flush(self) -> None:
        """Return when every accepted line is where it goes."""
        ...
