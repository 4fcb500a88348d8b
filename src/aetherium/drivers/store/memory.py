"""Keeps state in this process, for tests and for engines that shall leave no trace. It dies with the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from aetherium.drivers.store import cursor_after, read_cursor
from aetherium.model.errors import AlreadyExists, Conflict, DeadlineExceeded, InvalidArgument, NotFound
from aetherium.ports.store import StateStore, VMFilter, VMPage, VMRecord

_ALL: Final = VMFilter()


@dataclass(frozen=True, slots=True)
class Config:
    """There is nothing to choose."""


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path | None = None) -> AsyncIterator[StateStore]:
    """Open an empty store."""
    yield _MemoryStore()


class _MemoryStore:
    def __init__(self) -> None:
        self._records: dict[str, VMRecord] = {}
        self._locks: dict[str, _Lock] = {}

    async def insert_vm(self, record: VMRecord) -> VMRecord:
        self._check_free(record, others=tuple(self._records.values()))
        if record.vm.id in self._records:
            raise AlreadyExists(f"the id {record.vm.id!r} is taken: a VM has it as its id or name")
        return self._put(record, 1)

    async def get_vm(self, id_or_name: str) -> VMRecord:
        record = self._records.get(id_or_name)
        if record is None:
            record = next((r for r in self._records.values() if r.vm.name == id_or_name), None)
        if record is None:
            raise _not_found(id_or_name)
        return _copy(record)

    async def find_vm_by_key(self, key: str) -> VMRecord | None:
        return next((_copy(r) for r in self._records.values() if r.key == key), None)

    async def list_vms(self, where: VMFilter = _ALL, *, limit: int = 1000, after: str | None = None) -> VMPage:
        if limit < 1:
            raise InvalidArgument(f"limit is {limit}; it must be at least 1")
        found = sorted((r for r in self._records.values() if _matches(r, where)), key=_order)
        if after is not None:
            last = read_cursor(after)
            found = [record for record in found if _order(record) > last]
        items = tuple(_copy(record) for record in found[:limit])
        return VMPage(items, cursor_after(items[-1].vm) if len(found) > limit else None)

    async def update_vm(self, record: VMRecord) -> VMRecord:
        now = self._records.get(record.vm.id)
        if now is None:
            raise _not_found(record.vm.id)
        if now.revision != record.revision:
            raise Conflict(
                f"VM {record.vm.id} was changed meanwhile: revision {now.revision}, not {record.revision}",
                remedy="look at it again, then repeat",
            )
        self._check_free(record, others=tuple(r for r in self._records.values() if r is not now))
        return self._put(record, record.revision + 1)

    async def delete_vm(self, vm_id: str) -> None:
        self._records.pop(vm_id, None)

    @asynccontextmanager
    async def lock(self, name: str, *, timeout_s: float) -> AsyncIterator[None]:
        held = self._locks.setdefault(name, _Lock())
        held.users += 1
        try:
            await held.acquire(name, timeout_s)
            try:
                yield
            finally:
                held.lock.release()
        finally:
            held.users -= 1
            if not held.users:
                del self._locks[name]

    def _put(self, record: VMRecord, revision: int) -> VMRecord:
        self._records[record.vm.id] = _copy(replace(record, revision=revision))
        return replace(record, revision=revision)

    @staticmethod
    def _check_free(record: VMRecord, *, others: tuple[VMRecord, ...]) -> None:
        vm = record.vm
        if any(other.vm.name == vm.id for other in others):
            raise AlreadyExists(f"the id {vm.id!r} is taken: a VM has it as its id or name")
        if vm.name is not None and any(vm.name in (other.vm.id, other.vm.name) for other in others):
            raise AlreadyExists(f"the name {vm.name!r} is taken: a VM has it as its id or name")
        if record.key is not None and any(other.key == record.key for other in others):
            raise AlreadyExists(f"a VM was created under the key {record.key!r} before")


class _Lock:
    """One named lock, kept as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0

    async def acquire(self, name: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.lock.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                f"{name} is in use by another operation of this process: it was not free within {timeout_s:g} s",
                remedy="try again when that has finished",
            ) from None


def _copy(record: VMRecord) -> VMRecord:
    """Copy what the caller could change under us."""
    return replace(record, vm=replace(record.vm, env=dict(record.vm.env), labels=dict(record.vm.labels)))


def _order(record: VMRecord) -> tuple[datetime, str]:
    return record.vm.created_at, record.vm.id


def _matches(record: VMRecord, where: VMFilter) -> bool:
    vm = record.vm
    return (
        (not where.states or vm.state in where.states)
        and (where.driver is None or vm.driver == where.driver)
        and _has(vm.labels, where.labels)
    )


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())


def _not_found(id_or_name: str) -> NotFound:
    return NotFound(f"there is no VM {id_or_name!r}", remedy="'aetherium vm list' shows all VMs")
