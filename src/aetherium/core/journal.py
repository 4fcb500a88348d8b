"""Every change of a VM is written down before it is made.

A record with ``pending`` set says which step of which operation was about to happen. Operations run under the VM's
lock, which dies with its holder; so whoever holds the lock and finds ``pending`` set knows that its author is gone, and
finishes or undoes the operation (``recovery``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from aetherium.model.vm import VM
from aetherium.ports.store import Pending, StateStore, VMRecord
from aetherium.ports.vmm import Handle


class Step(StrEnum):
    """Every journalled step, ``operation.step``. Each is a point where the engine may be killed."""

    CREATE_PROVISION = "create.provision"
    CREATE_LAUNCH = "create.launch"
    CREATE_DONE = "create.done"
    START_LAUNCH = "start.launch"
    START_DONE = "start.done"
    STOP_ASK = "stop.ask"
    STOP_DONE = "stop.done"
    PAUSE_FREEZE = "pause.freeze"
    PAUSE_DONE = "pause.done"
    RESUME_THAW = "resume.thaw"
    RESUME_DONE = "resume.done"
    DELETE_REMOVE = "delete.remove"
    DELETE_DONE = "delete.done"
    RECOVER_DONE = "recover.done"

    @property
    def operation(self) -> str:
        """The operation this is a step of."""
        return self.value.partition(".")[0]


class Journal:
    """Writes VM records. ``on_step`` is called after each write, before what it announces; crash tests end the process
    there."""

    def __init__(self, store: StateStore, owner: str, *, on_step: Callable[[Step], None] | None = None) -> None:
        self._store = store
        self.owner = owner
        self._on_step = on_step

    async def insert(self, record: VMRecord, step: Step) -> VMRecord:
        """Add a record and announce the first step. Raises AlreadyExists."""
        written = await self._store.insert_vm(replace(record, pending=self._pending(step)))
        self._passed(step)
        return written

    async def begin(self, record: VMRecord, step: Step, vm: VM | None = None) -> VMRecord:
        """Announce a step, with the VM as it is from now on."""
        written = await self._store.update_vm(replace(record, vm=vm or record.vm, pending=self._pending(step)))
        self._passed(step)
        return written

    async def settle(self, record: VMRecord, step: Step, vm: VM, *, handle: Handle | None) -> VMRecord:
        """Write how an operation ended; nothing is pending any more."""
        written = await self._store.update_vm(replace(record, vm=vm, handle=handle, pending=None))
        self._passed(step)
        return written

    async def forget(self, record: VMRecord) -> None:
        """Remove the record of a VM of which nothing else is left."""
        await self._store.delete_vm(record.vm.id)
        self._passed(Step.DELETE_DONE)

    def _pending(self, step: Step) -> Pending:
        return Pending(step.operation, step.value.partition(".")[2], self.owner)

    def _passed(self, step: Step) -> None:
        if self._on_step is not None:
            self._on_step(step)
