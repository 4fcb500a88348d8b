"""A connection whose thread never outlives it: a thread left behind holds up the end of the process, or complains on
stderr that the event loop is gone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiosqlite

_ROWS_AT_ONCE: Final = 64
_THREAD_START_S: Final = 5.0


@asynccontextmanager
async def connected(path: Path, *, busy_timeout_s: float) -> AsyncIterator[aiosqlite.Connection]:
    """Open the database; close it however this ends, also amid opening."""
    connector = _Connector(path, busy_timeout_s)
    db = aiosqlite.Connection(connector, _ROWS_AT_ONCE)
    try:
        await db
        try:
            yield db
        finally:
            await db.close()
    finally:
        connector.finish()


class _Connector:
    """Opens the database in aiosqlite's thread, and remembers both."""

    def __init__(self, path: Path, busy_timeout_s: float) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None

    def __call__(self) -> sqlite3.Connection:
        self._thread = threading.current_thread()
        self._running.set()
        # Transactions are ours to begin; and finish() closes from the loop's thread, when the other one is gone.
        self._connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        return self._connection

    def finish(self) -> None:
        """Wait for the thread: where opening failed or was cancelled, aiosqlite only told it to end."""
        if self._running.wait(_THREAD_START_S) and self._thread is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()
