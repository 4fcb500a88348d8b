"""What the SQLite store can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``path`` of the database, relative to the state directory (default ``aetherium.db``); ``busy_timeout_s``: how
    long a write waits for the write of another process."""

    path: str | None = None
    busy_timeout_s: float = 10.0
