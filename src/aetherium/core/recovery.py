"""Making the store and the host agree again: after a crash, after a VM's own end, after somebody's kill -9.

``settle`` is called for one record under the VM's lock: it finishes or undoes an operation whose author is gone, and
notices what happened to the machine meanwhile. ``reap`` ends what nobody tracks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aetherium._util.clock import Clock
from aetherium._util.procinfo import is_alive
from aetherium.core import reasons
from aetherium.core.announcer import Announcer
from aetherium.core.connections import Connections
from aetherium.core.journal import Journal, Step
from aetherium.core.placement import Drivers
from aetherium.model.errors import AetheriumError, DeadlineExceeded, DriverUnavailable, NotFound
from aetherium.model.states import ALIVE, VMEvent, advance
from aetherium.model.vm import VM, VMState
from aetherium.ports.store import StateStore, VMFilter, VMRecord
from aetherium.ports.vmm import Handle, Presence, VMOrchestrator

_log = logging.getLogger(__name__)
_ADOPT_TIMEOUT_S = 5.0
_GOING_S = 2.0
_UNSETTLED = frozenset({VMState.STARTING, VMState.RUNNING, VMState.PAUSED, VMState.STOPPING})


@dataclass(frozen=True, slots=True)
class Reaped:
    """Something that nobody tracks, and that was (or, in a dry run, would be) removed."""

    driver: str
    vm_id: str
    reason: str


class Recovery:
    """Settles records and reaps leftovers."""

    def __init__(
        self,
        store: StateStore,
        drivers: Drivers,
        connections: Connections,
        journal: Journal,
        announcer: Announcer,
        clock: Clock,
    ) -> None:
        self._store = store
        self._drivers = drivers
        self._connections = connections
        self._journal = journal
        self._announcer = announcer
        self._clock = clock

    async def settle(self, record: VMRecord) -> VMRecord | None:
        """Return the record made true, or None when the VM turned out to be no more. Call under the VM's lock."""
        driver = await self._drivers.get(record.vm.driver)
        if record.pending is not None:
            return await self._settle_pending(driver, record, record.pending.operation)
        if self._is_abandoned(record):
            await self._remove(driver, record)
            return None
        if record.vm.state in ALIVE and record.handle is not None:
            return await self._settle_alive(driver, record, record.handle)
        return record

    def _is_abandoned(self, record: VMRecord) -> bool:
        return record.vm.ephemeral and record.owner is not None and not is_alive(record.owner)

    async def _settle_pending(self, driver: VMOrchestrator, record: VMRecord, operation: str) -> VMRecord | None:
        _log.info("operation was interrupted", extra={"vm": record.vm.id, "operation": operation})
        if operation in ("create", "delete"):
            # Nobody was told of a VM whose create never ended; a delete is finished.
            await self._remove(driver, record)
            return None
        if operation == "start":
            return await self._settle_start(driver, record)
        if operation == "stop":
            if record.handle is not None:
                await driver.stop(record.vm, record.handle)
            return await self._end(record, VMEvent.STOPPED, interrupted="stop")
        assert record.handle is not None, "only a running VM is paused or resumed"
        return await self._settle_alive(driver, replace(record, pending=None), record.handle, force_write=True)

    async def _settle_start(self, driver: VMOrchestrator, record: VMRecord) -> VMRecord:
        handle = await driver.find(record.vm)
        if handle is not None and await self._answers(record, handle):
            now = self._clock.now()
            vm = replace(
                record.vm,
                state=VMState.RUNNING,
                started_at=record.vm.started_at or now,
                expires_at=record.vm.expires_at or expiry(record.vm, now),
                stop_reason=None,
            )
            settled = await self._journal.settle(record, Step.RECOVER_DONE, vm, handle=handle)
            await self._announcer.vm("started", vm, recovered=True)
            return settled
        if handle is not None:
            await driver.stop(record.vm, handle)
        return await self._end(record, VMEvent.DIED, interrupted="start")

    async def _answers(self, record: VMRecord, handle: Handle) -> bool:
        try:
            async with asyncio.timeout(_ADOPT_TIMEOUT_S):
                await self._connections.get(record.vm, handle)
        except (AetheriumError, TimeoutError):
            return False
        return True

    async def _settle_alive(
        self, driver: VMOrchestrator, record: VMRecord, handle: Handle, *, force_write: bool = False
    ) -> VMRecord:
        vm, now = record.vm, self._clock.now()
        observed = await driver.inspect(vm, handle)
        if observed.presence is Presence.GONE:
            await driver.stop(vm, handle)  # what a machine leaves when it ends by itself
            return await self._end(record, VMEvent.DIED, evidence=observed.evidence)
        if vm.expires_at is not None and now >= vm.expires_at and observed.presence is Presence.PAUSED:
            await driver.stop(vm, handle)
            expired = replace(
                vm,
                state=VMState.STOPPED,
                desired_state=VMState.STOPPED,
                stopped_at=now,
                stop_reason=reasons.expired(vm),
            )
            return await self._ended(record, expired)
        state = VMState.PAUSED if observed.presence is Presence.PAUSED else VMState.RUNNING
        if state is vm.state and not force_write:
            return record
        return await self._journal.settle(record, Step.RECOVER_DONE, replace(vm, state=state), handle=handle)

    async def _end(
        self, record: VMRecord, event: VMEvent, *, evidence: str = "", interrupted: str | None = None
    ) -> VMRecord:
        now = self._clock.now()
        reason = reasons.interrupted(interrupted) if interrupted else reasons.ended(record.vm, now, evidence)
        state = advance(record.vm.state, event, vm_id=record.vm.id)
        return await self._ended(record, replace(record.vm, state=state, stopped_at=now, stop_reason=reason))

    async def _ended(self, record: VMRecord, vm: VM) -> VMRecord:
        await self._connections.drop(vm.id)
        settled = await self._journal.settle(record, Step.RECOVER_DONE, vm, handle=None)
        await self._announcer.vm("failed" if vm.state is VMState.FAILED else "stopped", vm)
        return settled

    async def _remove(self, driver: VMOrchestrator, record: VMRecord) -> None:
        await self._connections.drop(record.vm.id)
        await driver.delete(record.vm.id, record.handle)
        await self._journal.forget(record)
        await self._announcer.vm("deleted", replace(record.vm, state=VMState.DELETED), recovered=True)

    async def settle_by_id(self, vm_id: str, *, timeout_s: float) -> VMRecord | None:
        """Lock a VM and settle it; None when there is none (any more)."""
        async with self._store.lock(vm_id, timeout_s=timeout_s):
            try:
                record = await self._store.get_vm(vm_id)
            except NotFound:
                return None
            return await self.settle(record)

    async def settle_lost(self, vm_id: str, *, timeout_s: float) -> None:
        """Settle a VM whose connection ended. Mostly its machine is about to be gone: give it that moment."""
        try:
            record = await self._store.get_vm(vm_id)
        except NotFound:
            return
        if record.handle is not None and record.pending is None:
            driver = await self._drivers.get(record.vm.driver)
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOING_S):
                    await driver.wait(record.vm, record.handle)
        await self.settle_by_id(vm_id, timeout_s=timeout_s)

    async def recover(self) -> None:
        """Settle every VM that may not be what its record says. VMs that somebody works on right now are left alone."""
        async for record in self.records(VMFilter()):
            if record.pending is None and record.vm.state not in _UNSETTLED and not self._is_abandoned(record):
                continue
            try:
                if record.pending is not None or await self._has_changed(record):
                    await self.settle_by_id(record.vm.id, timeout_s=0)
            except DeadlineExceeded:
                pass  # its lock is held: alive and being worked on
            except AetheriumError as error:
                _log.warning("VM not recovered", extra={"vm": record.vm.id, "error": error.message})

    async def _has_changed(self, record: VMRecord) -> bool:
        """Look without the lock whether settling would change anything: it mostly would not."""
        if record.handle is None or self._is_abandoned(record):
            return True
        driver = await self._drivers.get(record.vm.driver)
        observed = await driver.inspect(record.vm, record.handle)
        now = self._clock.now()
        if record.vm.expires_at is not None and now >= record.vm.expires_at:
            return True
        expected = Presence.PAUSED if record.vm.state is VMState.PAUSED else Presence.RUNNING
        return observed.presence is not expected

    async def records(self, where: VMFilter) -> AsyncIterator[VMRecord]:
        """Yield all records that match."""
        after: str | None = None
        while True:
            page = await self._store.list_vms(where, after=after)
            for record in page.items:
                yield record
            if page.next is None:
                return
            after = page.next

    async def reap(self, *, dry_run: bool) -> list[Reaped]:
        """End and remove what drivers have and the store does not know; then abandoned ephemeral VMs.

        What is found before the rows are read and has no row is nobody's: a row is written before anything is made
        and removed after everything is gone.
        """
        reaped: list[Reaped] = []
        for name in self._drivers.names():
            try:
                driver = await self._drivers.get(name)
            except DriverUnavailable:
                continue
            for vm_id in sorted(await driver.leftovers()):
                found = await self._reap_one(driver, vm_id, dry_run=dry_run)
                if found is not None:
                    reaped.append(found)
        return reaped

    async def _reap_one(self, driver: VMOrchestrator, vm_id: str, *, dry_run: bool) -> Reaped | None:
        try:
            async with self._store.lock(vm_id, timeout_s=0):
                try:
                    record = await self._store.get_vm(vm_id)
                except NotFound:
                    record = None
                if record is not None and record.vm.id == vm_id:
                    if not self._is_abandoned(record) and not (record.pending and record.pending.operation == "create"):
                        return None
                    reason = "the process it was made for is gone"
                    if not dry_run:
                        await self.settle(record)
                else:
                    reason = "no VM of that id is known"
                    if not dry_run:
                        await driver.delete(vm_id, None)
                _log.warning("leftover found", extra={"vm": vm_id, "driver": driver.name, "reason": reason})
                return Reaped(driver.name, vm_id, reason)
        except DeadlineExceeded:
            return None


def expiry(vm: VM, started_at: datetime) -> datetime | None:
    """Return when a VM that starts at ``started_at`` is to end; None for never."""
    return started_at + timedelta(seconds=vm.timeout_s) if vm.timeout_s else None
