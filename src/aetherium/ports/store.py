"""The port for state: what the engine must not forget. The store is the truth."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from aetherium.model.vm import VM, VMState
from aetherium.ports.vmm import Handle


@dataclass(frozen=True, slots=True)
class Pending:
    """An operation under way: recorded before it acts, so that whoever comes after a crash knows what was begun."""

    operation: str
    step: str
    owner: str
    """``pid:start time`` of the process that began it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VMRecord:
    """A VM's row. ``key`` is the idempotency key of its creation; ``owner`` the process an ephemeral VM lives for;
    ``revision`` counts writes, and a write names the revision it read."""

    vm: VM
    handle: Handle | None = None
    pending: Pending | None = None
    key: str | None = None
    owner: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VMFilter:
    """Which VMs to list: all conditions must hold; ``labels`` must be present with these values; ``states`` empty means
    any."""

    states: frozenset[VMState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class VMPage:
    """Some VMs in order of creation; ``next`` asks for the following page, None at the end."""

    items: tuple[VMRecord, ...]
    next: str | None


class StateStore(Protocol):
    """Keeps records. Safe for many tasks and, unless it is the memory store, many processes at once."""

    async def insert_vm(self, record: VMRecord) -> VMRecord:
        """Add a VM; return it with revision 1. AlreadyExists when its id, name or key is taken (by id or by name: both
        share one name space)."""
        ...

    async def get_vm(self, id_or_name: str) -> VMRecord:
        """Return a VM by id, else by name. Raises NotFound."""
        ...

    async def find_vm_by_key(self, key: str) -> VMRecord | None:
        """Return the VM that was created under an idempotency key."""
        ...

    async def list_vms(self, where: VMFilter = VMFilter(), *, limit: int = 1000, after: str | None = None) -> VMPage:
        """Return a page, stable while VMs are added. InvalidArgument for an ``after`` that no page returned."""
        ...

    async def update_vm(self, record: VMRecord) -> VMRecord:
        """Write a VM if its stored revision is still ``record.revision``; return it with the next. Raises Conflict,
        NotFound."""
        ...

    async def delete_vm(self, vm_id: str) -> None:
        """Forget a VM. Repeatable."""
        ...

    def lock(self, name: str, *, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """Hold ``name`` alone among all users of this store; freed when the holder dies. DeadlineExceeded."""
        ...
