"""The schema's versions: numbered SQL files, each applied once, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiosqlite

from aetherium._util.filelock import file_lock
from aetherium.model.errors import Unavailable

MIGRATIONS: Final = tuple(Path(__file__).with_name(name) for name in ("0001_vms.sql",))
"""In order; the version in ``PRAGMA user_version`` is how many have been applied."""

_WAIT_S: Final = 60.0


async def migrate(db: aiosqlite.Connection, path: Path) -> None:
    """Bring the database up to date. Unavailable when a newer Aetherium wrote it. Safe in many processes at once."""
    if await _version(db, path) == len(MIGRATIONS):
        return
    # Two connections that switch a new database to WAL at the same time get SQLITE_BUSY at once, whatever the busy
    # timeout: so one process at a time.
    try:
        async with file_lock(path.with_name(path.name + ".migrating"), timeout_s=_WAIT_S):
            await db.execute_fetchall("PRAGMA journal_mode = WAL")
            for migration in MIGRATIONS[await _version(db, path) :]:
                await _apply(db, migration)
    except TimeoutError:
        raise Unavailable(f"another process has been migrating {path} for {_WAIT_S:g} s", remedy="try again") from None


async def _version(db: aiosqlite.Connection, path: Path) -> int:
    ((version,),) = await db.execute_fetchall("PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise Unavailable(
            f"the state database {path} has schema {version}, this Aetherium knows only up to {len(MIGRATIONS)}",
            remedy="upgrade Aetherium, or choose another --state-dir (AETHERIUM_STATE_DIR)",
        )
    return int(version)


async def _apply(db: aiosqlite.Connection, migration: Path) -> None:
    number = int(migration.name[:4])
    await db.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(migration.read_text("utf-8")):
            await db.execute(statement)
        await db.execute(f"PRAGMA user_version = {number}")
        await db.execute("COMMIT")
    except BaseException:
        # COMMIT itself may have failed or, when we were cancelled, have succeeded.
        if db.in_transaction:
            await db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit our transaction first.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise AssertionError(f"a migration ends amid a statement: {statement!r}")
