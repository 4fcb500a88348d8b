"""The store itself. Every write is one statement, so no transaction is ever open between two awaits."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiosqlite

from aetherium._util.clock import format_time
from aetherium.drivers.store import cursor_after, read_cursor
from aetherium.drivers.store.sqlite.config import Config
from aetherium.drivers.store.sqlite.connection import connected
from aetherium.drivers.store.sqlite.errors import mapped
from aetherium.drivers.store.sqlite.locks import lock
from aetherium.drivers.store.sqlite.migrations import migrate
from aetherium.drivers.store.sqlite.rows import READ, WRITE, from_row, label, placeholders, to_row
from aetherium.model.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from aetherium.ports.store import StateStore, VMFilter, VMPage, VMRecord

_ALL: Final = VMFilter()
_VALUES: Final = placeholders(WRITE.count(",") + 1)
_INSERT: Final = f"INSERT INTO vms ({WRITE}) VALUES ({_VALUES})"  # noqa: S608 (constants)
_UPDATE: Final = f"UPDATE vms SET ({WRITE}) = ({_VALUES}) WHERE id = ? AND revision = ?"  # noqa: S608
_SELECT: Final = f"SELECT {READ} FROM vms"  # noqa: S608
_BY_ID: Final = f"{_SELECT} WHERE id = ?"
_BY_KEY: Final = f"{_SELECT} WHERE key = ?"
_BY_ID_OR_NAME: Final = f"{_SELECT} WHERE id = ?1 UNION ALL {_SELECT} WHERE name = ?1 AND id <> ?1"


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path) -> AsyncIterator[StateStore]:
    """Open the store, made if missing."""
    path = state_dir / (config.path or "aetherium.db")
    locks = state_dir / "locks"
    with mapped(path):
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before SQLite does, because it would let others read; and without opening it, because closing a file drops
        # all locks that this process's other connections have on it.
        with suppress(FileExistsError):
            os.mknod(path, 0o600)
    async with AsyncExitStack() as stack:
        with mapped(path):
            db = await stack.enter_async_context(connected(path, busy_timeout_s=config.busy_timeout_s))
            await db.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;")
            await migrate(db, path)
        yield _SQLiteStore(db, path, locks)


class _SQLiteStore:
    def __init__(self, db: aiosqlite.Connection, path: Path, locks: Path) -> None:
        self._db = db
        self._path = path
        self._locks = locks

    async def _find(self, sql: str, value: str) -> VMRecord | None:
        if not _is_unicode(value):
            return None
        with mapped(self._path):
            for row in await self._db.execute_fetchall(sql, (value,)):
                return from_row(row)
        return None

    async def insert_vm(self, record: VMRecord) -> VMRecord:
        with mapped(self._path), _taken(record):
            await self._db.execute(_INSERT, to_row(record, 1))
        return replace(record, revision=1)

    async def get_vm(self, id_or_name: str) -> VMRecord:
        record = await self._find(_BY_ID_OR_NAME, id_or_name)
        if record is None:
            raise _not_found(id_or_name)
        return record

    async def find_vm_by_key(self, key: str) -> VMRecord | None:
        return await self._find(_BY_KEY, key)

    async def list_vms(self, where: VMFilter = _ALL, *, limit: int = 1000, after: str | None = None) -> VMPage:
        if limit < 1:
            raise InvalidArgument(f"limit is {limit}; it must be at least 1")
        sql, values = _listing(where, after)
        with mapped(self._path):
            # One more than asked for tells whether there is a next page.
            rows = list(await self._db.execute_fetchall(f"{sql} LIMIT ?", (*values, limit + 1)))
        items = tuple(from_row(row) for row in rows[:limit])
        return VMPage(items, cursor_after(items[-1].vm) if len(rows) > limit else None)

    async def update_vm(self, record: VMRecord) -> VMRecord:
        revision = record.revision + 1
        with mapped(self._path), _taken(record):
            written = await self._db.execute(_UPDATE, (*to_row(record, revision), record.vm.id, record.revision))
        if written.rowcount == 1:
            return replace(record, revision=revision)
        now = await self._find(_BY_ID, record.vm.id)
        if now is None:
            raise _not_found(record.vm.id)
        raise Conflict(
            f"VM {record.vm.id} was changed meanwhile: revision {now.revision}, not {record.revision}",
            remedy="look at it again, then repeat",
        )

    async def delete_vm(self, vm_id: str) -> None:
        if not _is_unicode(vm_id):
            return
        with mapped(self._path):
            await self._db.execute("DELETE FROM vms WHERE id = ?", (vm_id,))

    def lock(self, name: str, *, timeout_s: float) -> AbstractAsyncContextManager[None]:
        return lock(self._locks, name, timeout_s=timeout_s)


def _listing(where: VMFilter, after: str | None) -> tuple[str, list[str]]:
    conditions, values = ["TRUE"], []
    if after is not None:
        created_at, vm_id = read_cursor(after)
        conditions.append("(created_at, id) > (?, ?)")
        values += [format_time(created_at), vm_id]
    if where.states:
        conditions.append(f"state IN ({placeholders(len(where.states))})")
        values += [state.value for state in where.states]
    if where.driver is not None:
        conditions.append("driver = ?")
        values.append(where.driver)
    for name, value in where.labels.items():
        conditions.append("id IN (SELECT vm_id FROM vm_labels WHERE label = ?)")
        values.append(label(name, value))
    return f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY created_at, id", values


@contextmanager
def _taken(record: VMRecord) -> Iterator[None]:
    """Raise what the schema says about something that must be unique as AlreadyExists."""
    try:
        yield
    except sqlite3.IntegrityError as exc:
        vm = record.vm
        if str(exc) == "taken: id":
            raise AlreadyExists(f"the id {vm.id!r} is taken: a VM has it as its id or name") from None
        if str(exc) == "taken: name":
            raise AlreadyExists(f"the name {vm.name!r} is taken: a VM has it as its id or name") from None
        if str(exc).endswith("vms.key"):
            raise AlreadyExists(f"a VM was created under the key {record.key!r} before") from None
        raise


def _is_unicode(text: str) -> bool:
    """Say whether SQLite can hold ``text`` at all; what it cannot hold is not there."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_found(id_or_name: str) -> NotFound:
    return NotFound(f"there is no VM {id_or_name!r}", remedy="'aetherium vm list' shows all VMs")
