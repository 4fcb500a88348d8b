"""The engine for programs without an event loop: the same calls, which wait."""

from __future__ import annotations

from aetherium.app.sync._generated import (
    SyncEngine,
    SyncEventBus,
    SyncFiles,
    SyncProcess,
    SyncTunnel,
    SyncVMs,
    open_sync,
)
from aetherium.app.sync.feed import SyncInput

__all__ = [
    "SyncEngine",
    "SyncEventBus",
    "SyncFiles",
    "SyncInput",
    "SyncProcess",
    "SyncTunnel",
    "SyncVMs",
    "open_sync",
]
