"""The engine: what the ports can do together, opened and closed as one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aetherium._util.clock import Clock, SystemClock
from aetherium._util.procinfo import this_process
from aetherium._util.tasks import task_group
from aetherium.core.announcer import Announcer
from aetherium.core.commands import Commands
from aetherium.core.connections import Connections
from aetherium.core.files import Files
from aetherium.core.journal import Journal, Step
from aetherium.core.lifecycle import Dependencies, Lifecycle
from aetherium.core.placement import Drivers, Placement
from aetherium.core.recovery import Recovery
from aetherium.core.vms import VMs
from aetherium.model.config import VMMConfig
from aetherium.model.errors import AetheriumError
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore

_log = logging.getLogger(__name__)
_SETTLE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Engine:
    """``vms`` runs machines and commands, ``files`` reaches into their file systems, ``events`` tells what happens."""

    vms: VMs
    files: Files
    events: EventBus
    placement: Placement
    drivers: Drivers


class _Watch:
    """Settles a VM whose connection ended unasked, so that its end is recorded and announced when it happens."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._recovery: Recovery | None = None
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, recovery: Recovery) -> None:
        self._recovery = recovery

    def lost(self, vm_id: str) -> None:
        if self._recovery is not None:
            task = self._tasks.create_task(self._settle(self._recovery, vm_id), name=f"settle {vm_id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _settle(self, recovery: Recovery, vm_id: str) -> None:
        try:
            await recovery.settle_lost(vm_id, timeout_s=_SETTLE_TIMEOUT_S)
        except AetheriumError as error:
            _log.warning("lost VM not settled", extra={"vm": vm_id, "error": error.message})

    def end(self) -> None:
        self._recovery = None
        for task in self._running:
            task.cancel()


@asynccontextmanager
async def open_engine(
    *,
    store: StateStore,
    bus: EventBus,
    drivers: Drivers,
    vmm: VMMConfig,
    clock: Clock | None = None,
    recover: bool = True,
    on_step: Callable[[Step], None] | None = None,
) -> AsyncIterator[Engine]:
    """Put an engine together from opened ports, settle what the last one left, and hold its background work.

    The ports stay the caller's to close. VMs run on after the engine is closed.
    """
    clock = clock or SystemClock()
    async with task_group() as tasks:
        watch = _Watch(tasks)
        connections = Connections(drivers, on_lost=watch.lost)
        journal = Journal(store, this_process(), on_step=on_step)
        announcer = Announcer(bus, clock)
        placement = Placement(drivers, provider=vmm.provider, floor=vmm.isolation)
        recovery = Recovery(store, drivers, connections, journal, announcer, clock)
        lifecycle = Lifecycle(
            Dependencies(
                store, drivers, placement, connections, journal, recovery, announcer, clock, defaults=vmm.defaults
            )
        )
        commands = Commands(store, connections, recovery)
        try:
            if recover:
                await recovery.recover()
            watch.begin(recovery)
            yield Engine(
                vms=VMs(store, drivers, lifecycle, commands, recovery),
                files=Files(commands),
                events=bus,
                placement=placement,
                drivers=drivers,
            )
        finally:
            watch.end()
            await connections.close()
