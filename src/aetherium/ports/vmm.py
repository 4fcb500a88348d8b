"""The port for machines: make one, end one, hand back a byte stream to the agent in it.

Call order, for one VM: ``create``, then any number of (``start`` ... ``stop``), then ``delete``. The engine holds the
VM's lock around every call except ``connect``, ``inspect`` and ``usage``, so a driver sees one change of one VM at a
time, from one process at a time; changes of different VMs run concurrently. Every method may be cancelled and must then
leave either what was before or something that ``delete`` removes.

A VM belongs to the host: it lives on when the process that started it dies, and a later process finds it with the
``Handle`` that ``start`` returned, or, when that process died before it could write the handle down, with ``find``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from aetherium.model.vm import VM, Isolation, Network

GUEST_WORKDIR = "/workspace"
"""The work directory of a VM, private to it and kept over stop and start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a driver can do. The engine asks this, never which driver it is."""

    isolation: Isolation
    can_pause: bool = False
    can_mount: bool = False
    networks: frozenset[Network] = frozenset({Network.NONE})
    images: bool = False
    users: bool = False
    """Commands may run as any user of the VM; else all run as the VM's one user."""
    durable: bool = True
    """VMs outlive the process that made them."""
    files_survive_stop: bool = True
    limits: frozenset[str] = frozenset()
    """Which of ``cpus memory_mib pids`` the driver can hold a VM to on some host."""


class Health(StrEnum):
    """Whether a driver works on this host."""

    HEALTHY = "healthy"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a driver found by trying.

    ``reason`` is one sentence, ``remedy`` what a person can do, ``details`` facts such as versions and ``limits`` (the
    limits this host really enforces).
    """

    health: Health
    reason: str
    remedy: str = ""
    details: Mapping[str, str] | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether VMs can be made."""
        return self.health is Health.HEALTHY


@dataclass(frozen=True, slots=True)
class Handle:
    """How a driver finds a running VM again: opaque text of the driver's own, with the version of its format."""

    version: int
    data: str


@dataclass(frozen=True, slots=True)
class Started:
    """A machine that runs. ``limits_enforced`` names the limits the host holds it to."""

    handle: Handle
    limits_enforced: tuple[str, ...] = ()


class Presence(StrEnum):
    """Whether a machine is there."""

    RUNNING = "running"
    PAUSED = "paused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a driver sees of a machine; ``evidence`` says why it is gone, if it can tell."""

    presence: Presence
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the host accounts to a machine; None where the host does not."""

    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_s: float | None = None
    disk_bytes: int | None = None


class VMOrchestrator(Protocol):
    """Makes and ends machines. Failures are raised as ``AetheriumError`` with a remedy; nothing is left behind."""

    @property
    def name(self) -> str:
        """The provider's name in configuration."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this driver can do."""
        ...

    async def probe(self) -> Probe:
        """Find out by doing whether VMs can be made here: start a guest, hear it answer, end it. Never raises."""
        ...

    async def create(self, vm: VM) -> None:
        """Make what the VM keeps over its starts (its disk). Repeatable. ResourceExhausted when the disk is full."""
        ...

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        """Start the machine and return as soon as ``connect`` can reach its agent. ``agent_args`` go to the agent's
        command line. Raises DriverUnavailable, ResourceExhausted; then no process is left."""
        ...

    async def find(self, vm: VM) -> Handle | None:
        """Find a machine that ``start`` began and whose handle was never written down; None when there is none."""
        ...

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        """Look whether the machine is there. Cheap: called for every VM when the engine opens."""
        ...

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        """Open a byte stream to the agent and attach ``protocol`` to it. Raises GuestUnreachable."""
        ...

    async def wait(self, vm: VM, handle: Handle) -> None:
        """Return when the machine is gone."""
        ...

    async def stop(self, vm: VM, handle: Handle) -> None:
        """End the machine at once (the engine has asked its agent first). Repeatable. Returns when it is gone."""
        ...

    async def pause(self, vm: VM, handle: Handle) -> None:
        """Stop the machine's processors; memory stays. Unsupported without ``can_pause``."""
        ...

    async def resume(self, vm: VM, handle: Handle) -> None:
        """Undo ``pause``."""
        ...

    async def usage(self, vm: VM, handle: Handle) -> Usage:
        """Return what the host accounts to the machine."""
        ...

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        """Remove everything of the VM, running or not, whole or half made. Repeatable."""
        ...

    async def leftovers(self) -> frozenset[str]:
        """Return the ids of all VMs of which this driver has anything at all under its state directory."""
        ...

    def console(self, vm_id: str) -> Path | None:
        """Return the file with what the machine itself printed, if the driver keeps one."""
        ...
