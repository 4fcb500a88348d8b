"""Creating, starting, stopping, pausing and deleting VMs: journalled, locked, undone when they fail."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from aetherium._util.clock import Clock
from aetherium._util.ids import new_id
from aetherium._util.uncancelled import uncancelled
from aetherium.core import reasons
from aetherium.core.announcer import Announcer
from aetherium.core.connections import Connections
from aetherium.core.deadline import deadline
from aetherium.core.guest import client as guest
from aetherium.core.journal import Journal, Step
from aetherium.core.placement import Drivers, Placement
from aetherium.core.recovery import Recovery, expiry
from aetherium.model.config import VMDefaults
from aetherium.model.errors import (
    AetheriumError,
    AlreadyExists,
    Internal,
    NotFound,
    Unsupported,
)
from aetherium.model.states import VMEvent, advance
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.ports.store import StateStore, VMRecord
from aetherium.ports.vmm import Handle, VMOrchestrator

_log = logging.getLogger(__name__)
LOCK_TIMEOUT_S = 60.0
EPHEMERAL_LINGER_S = 60
DEFAULT_IMAGE = "host"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the lifecycle works with."""

    store: StateStore
    drivers: Drivers
    placement: Placement
    connections: Connections
    journal: Journal
    recovery: Recovery
    announcer: Announcer
    clock: Clock
    defaults: VMDefaults


class Lifecycle:
    """Changes VMs. Every method takes the VM's lock, and first settles what an interrupted operation left."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._ = dependencies

    async def create(self, config: VMConfig, *, start: bool, key: str | None, timeout_s: float) -> VM:
        """Make a VM; see ``VMs.create``."""
        async with deadline(timeout_s, "creating the VM"):
            if key is not None and (existing := await self._by_key(key)) is not None:
                return existing
            driver = await self._.placement.choose(config)
            vm = self._new_vm(config, driver)
            try:
                return await self._create_locked(driver, vm, start=start, key=key)
            except AlreadyExists:
                # Somebody was faster with the same key, or what has the id or name is the remains of a killed create.
                if key is not None and (existing := await self._by_key(key)) is not None:
                    return existing
                if not await self._is_free(vm):
                    raise
            return await self._create_locked(driver, vm, start=start, key=key)

    async def _is_free(self, vm: VM) -> bool:
        """Settle what has the VM's id or name, if somebody left it half way; say whether both are free now."""
        for taken in (vm.id, vm.name or vm.id):
            with suppress(NotFound):
                record = await self._.store.get_vm(taken)
                if record.pending is not None:
                    await self._.recovery.settle_by_id(record.vm.id, timeout_s=LOCK_TIMEOUT_S)
                    await self._.store.get_vm(taken)
                return False
        return True

    async def _create_locked(self, driver: VMOrchestrator, vm: VM, *, start: bool, key: str | None) -> VM:
        async with self._.store.lock(vm.id, timeout_s=LOCK_TIMEOUT_S):
            return await self._create(driver, vm, start=start, key=key)

    async def _by_key(self, key: str) -> VM | None:
        record = await self._.store.find_vm_by_key(key)
        if record is None:
            return None
        settled = await self._.recovery.settle_by_id(record.vm.id, timeout_s=LOCK_TIMEOUT_S)
        return None if settled is None else settled.vm

    def _new_vm(self, config: VMConfig, driver: VMOrchestrator) -> VM:
        capabilities, defaults = driver.capabilities, self._.defaults
        if config.network not in capabilities.networks:
            raise Unsupported(
                f"driver {driver.name} cannot give a VM the network {config.network.value!r}",
                remedy=f"it can give: {', '.join(sorted(n.value for n in capabilities.networks))}",
            )
        if config.mounts and not capabilities.can_mount:
            raise Unsupported(f"driver {driver.name} cannot mount host directories", remedy="copy the files in instead")
        if config.image not in (None, DEFAULT_IMAGE) and not capabilities.images:
            raise Unsupported(
                f"driver {driver.name} cannot run images: its VMs see the host's programs",
                remedy="leave the image out, or choose a driver that has images",
            )
        if config.disk_mib is not None:
            raise Unsupported(f"driver {driver.name} cannot bound a VM's disk", remedy="leave the disk size out")
        return VM(
            id=config.id or new_id("vm"),
            name=config.name,
            state=VMState.CREATED,
            desired_state=VMState.CREATED,
            driver=driver.name,
            isolation=capabilities.isolation,
            image=config.image or DEFAULT_IMAGE,
            cpus=defaults.cpus if config.cpus is None else config.cpus,
            memory_mib=config.memory_mib or defaults.memory_mib,
            pids=config.pids or defaults.pids,
            env=dict(config.env),
            labels=dict(config.labels),
            network=config.network,
            mounts=config.mounts,
            timeout_s=defaults.timeout_s if config.timeout_s is None else config.timeout_s,
            ephemeral=config.ephemeral,
            created_at=self._.clock.now(),
        )

    async def _create(self, driver: VMOrchestrator, vm: VM, *, start: bool, key: str | None) -> VM:
        try:
            record = await self._insert(vm, key)
        except asyncio.CancelledError:
            await uncancelled(self._undo_insert(vm))
            raise
        try:
            await driver.create(vm)
            if start:
                record = await self._launch(driver, record, Step.CREATE_LAUNCH, Step.CREATE_DONE)
            else:
                record = await self._.journal.settle(record, Step.CREATE_DONE, vm, handle=None)
            await self._.announcer.vm("created", record.vm)
            if start:
                await self._.announcer.vm("started", record.vm)
        except BaseException:
            await uncancelled(self._undo_create(driver, record))
            raise
        return record.vm

    async def _insert(self, vm: VM, key: str | None) -> VMRecord:
        owner = self._.journal.owner if vm.ephemeral else None
        return await self._.journal.insert(VMRecord(vm=vm, key=key, owner=owner), Step.CREATE_PROVISION)

    async def _undo_insert(self, vm: VM) -> None:
        """Remove the row of a create that was cancelled while it was being written, if it was written."""
        with suppress(NotFound):
            record = await self._.store.get_vm(vm.id)
            if record.vm.created_at == vm.created_at and record.pending is not None:
                await self._.journal.forget(record)

    async def _undo_create(self, driver: VMOrchestrator, record: VMRecord) -> None:
        await self._.connections.drop(record.vm.id)
        try:
            await driver.delete(record.vm.id, record.handle)
            await self._.journal.forget(record)
        except AetheriumError as error:
            # The row stays, marked as a create under way: recovery tries again.
            _log.error("failed create not undone", extra={"vm": record.vm.id, "error": error.message})

    async def start(self, vm_id: str, *, timeout_s: float) -> VM:
        """Start a VM; see ``VMs.start``."""
        async with deadline(timeout_s, "starting the VM"), self._locked(vm_id) as record:
            if record.vm.state is VMState.RUNNING:
                return record.vm
            advance(record.vm.state, VMEvent.START, vm_id=record.vm.id)  # refused before anything is begun
            driver = await self._.drivers.get(record.vm.driver)
            try:
                record = await self._launch(driver, record, Step.START_LAUNCH, Step.START_DONE)
                await self._.announcer.vm("started", record.vm)
            except BaseException as error:
                await uncancelled(self._undo_start(driver, record.vm.id, str(error) or type(error).__name__))
                raise
            return record.vm

    async def _launch(self, driver: VMOrchestrator, record: VMRecord, step: Step, done: Step) -> VMRecord:
        starting = replace(
            record.vm,
            state=advance(record.vm.state, VMEvent.START, vm_id=record.vm.id),
            desired_state=VMState.RUNNING,
            stop_reason=None,
            stopped_at=None,
            started_at=None,
            expires_at=None,
        )
        record = await self._.journal.begin(record, step, starting)
        arguments: list[str] = []
        if starting.timeout_s:
            arguments += ["--ttl-s", f"{math.ceil(starting.timeout_s)}"]
        if starting.ephemeral:
            arguments += ["--linger-s", str(EPHEMERAL_LINGER_S)]
        # Taken before the agent starts to count: when the agent ends the VM for its age, that age is past for us too.
        expires_at = expiry(starting, self._.clock.now())
        started = await driver.start(starting, agent_args=tuple(arguments))
        await self._.connections.get(starting, started.handle)
        running = replace(
            starting,
            state=advance(starting.state, VMEvent.STARTED, vm_id=starting.id),
            limits_enforced=started.limits_enforced,
            started_at=self._.clock.now(),
            expires_at=expires_at,
        )
        return await self._.journal.settle(record, done, running, handle=started.handle)

    async def _undo_start(self, driver: VMOrchestrator, vm_id: str, evidence: str) -> None:
        record = await self._.store.get_vm(vm_id)
        if record.vm.state not in (VMState.STARTING, VMState.RUNNING):
            return  # cancelled before anything was begun
        await self._.connections.drop(vm_id)
        handle = record.handle or await driver.find(record.vm)
        if handle is not None:
            await driver.stop(record.vm, handle)
        failed = replace(
            record.vm,
            state=VMState.FAILED,
            stopped_at=self._.clock.now(),
            stop_reason=reasons.failed_start(evidence[:1000]),
        )
        await self._.journal.settle(record, Step.START_DONE, failed, handle=None)
        await self._.announcer.vm("failed", failed)

    async def stop(self, vm_id: str, *, force: bool, grace_s: float, timeout_s: float) -> VM:
        """Stop a VM; see ``VMs.stop``."""
        async with deadline(timeout_s, "stopping the VM"), self._locked(vm_id) as record:
            if record.vm.state in (VMState.STOPPED, VMState.CREATED, VMState.FAILED):
                return record.vm
            driver = await self._.drivers.get(record.vm.driver)
            stopping = replace(
                record.vm,
                state=advance(record.vm.state, VMEvent.STOP, vm_id=record.vm.id),
                desired_state=VMState.STOPPED,
                stop_reason=reasons.asked(force=force),
            )
            was_paused = record.vm.state is VMState.PAUSED
            record = await self._.journal.begin(record, Step.STOP_ASK, stopping)
            try:
                if not force:
                    await self._ask_to_end(driver, record, grace_s, was_paused=was_paused)
            finally:
                record = await uncancelled(self._end(driver, record))
            return record.vm

    async def _ask_to_end(self, driver: VMOrchestrator, record: VMRecord, grace_s: float, *, was_paused: bool) -> None:
        try:
            if was_paused:
                await driver.resume(record.vm, _handle(record))
                self._.connections.release(record.vm.id)
            link = await self._.connections.get(record.vm, _handle(record))
            async with deadline(grace_s + 5, "the agent's shutdown"):
                await guest.shutdown(link.connection, grace_s=grace_s)
        except AetheriumError as error:
            # Not answering, or gone before its last word reached us: what follows ends it in any case.
            _log.info("agent did not shut down", extra={"vm": record.vm.id, "error": error.message})

    async def _end(self, driver: VMOrchestrator, record: VMRecord) -> VMRecord:
        await self._.connections.drop(record.vm.id)
        await driver.stop(record.vm, _handle(record))
        stopped = replace(
            record.vm,
            state=advance(record.vm.state, VMEvent.STOPPED, vm_id=record.vm.id),
            stopped_at=self._.clock.now(),
        )
        record = await self._.journal.settle(record, Step.STOP_DONE, stopped, handle=None)
        await self._.announcer.vm("stopped", stopped)
        return record

    async def pause(self, vm_id: str, *, timeout_s: float) -> VM:
        """Pause a VM; see ``VMs.pause``."""
        async with deadline(timeout_s, "pausing the VM"), self._locked(vm_id) as record:
            if record.vm.state is VMState.PAUSED:
                return record.vm
            driver = await self._.drivers.get(record.vm.driver)
            if not driver.capabilities.can_pause:
                raise Unsupported(f"driver {driver.name} cannot pause a VM", remedy="stop it instead")
            paused = replace(record.vm, state=advance(record.vm.state, VMEvent.PAUSE, vm_id=record.vm.id))
            record = await self._.journal.begin(record, Step.PAUSE_FREEZE)
            self._.connections.hold(record.vm.id)
            try:
                await uncancelled(driver.pause(record.vm, _handle(record)))
            except AetheriumError:
                self._.connections.release(record.vm.id)
                raise
            record = await self._.journal.settle(record, Step.PAUSE_DONE, paused, handle=record.handle)
            await self._.announcer.vm("paused", paused)
            return record.vm

    async def resume(self, vm_id: str, *, timeout_s: float) -> VM:
        """Resume a VM; see ``VMs.resume``."""
        async with deadline(timeout_s, "resuming the VM"), self._locked(vm_id) as record:
            if record.vm.state is VMState.RUNNING:
                return record.vm
            driver = await self._.drivers.get(record.vm.driver)
            resumed = replace(record.vm, state=advance(record.vm.state, VMEvent.RESUME, vm_id=record.vm.id))
            record = await self._.journal.begin(record, Step.RESUME_THAW)
            await uncancelled(driver.resume(record.vm, _handle(record)))
            self._.connections.release(record.vm.id)
            record = await self._.journal.settle(record, Step.RESUME_DONE, resumed, handle=record.handle)
            await self._.announcer.vm("resumed", resumed)
            return record.vm

    async def delete(self, vm_id: str, *, timeout_s: float) -> None:
        """Delete a VM; see ``VMs.delete``."""
        async with deadline(timeout_s, "deleting the VM"), self._.store.lock(vm_id, timeout_s=LOCK_TIMEOUT_S):
            record = await self._.store.get_vm(vm_id)
            driver = await self._.drivers.get(record.vm.driver)
            doomed = replace(record.vm, desired_state=VMState.DELETED)
            record = await self._.journal.begin(record, Step.DELETE_REMOVE, doomed)
            await uncancelled(self._delete(driver, record))

    async def _delete(self, driver: VMOrchestrator, record: VMRecord) -> None:
        await self._.connections.drop(record.vm.id)
        await driver.delete(record.vm.id, record.handle)
        await self._.journal.forget(record)
        await self._.announcer.vm("deleted", replace(record.vm, state=VMState.DELETED))

    @asynccontextmanager
    async def _locked(self, vm_id: str) -> AsyncIterator[VMRecord]:
        async with self._.store.lock(vm_id, timeout_s=LOCK_TIMEOUT_S):
            record = await self._.recovery.settle(await self._.store.get_vm(vm_id))
            if record is None:
                raise not_found(vm_id)
            yield record


def not_found(vm_id: str) -> NotFound:
    """Return the error for a VM that does not exist."""
    return NotFound(f"there is no VM {vm_id!r}", remedy="'aetherium vm list' shows those there are")


def _handle(record: VMRecord) -> Handle:
    if record.handle is None:
        raise Internal(f"VM {record.vm.id} is {record.vm.state.value} and has no handle")
    return record.handle
