"""An engine over the memory driver, which fails where a test wants it to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aetherium.core.engine import Engine
from aetherium.drivers.bus import memory as bus
from aetherium.drivers.store import memory as store
from aetherium.drivers.vmm import memory
from aetherium.drivers.vmm.memory import Fault
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.ports.vmm import VMOrchestrator
from aetherium.testing.assembly import engine_over
from aetherium.testing.census import Census, Signs, leaks


@dataclass(frozen=True, slots=True)
class Bench:
    driver: VMOrchestrator
    store: StateStore
    bus: EventBus
    engine: Engine

    async def is_empty(self) -> bool:
        """Say whether neither a row nor anything on the host is left."""
        return (await self.store.list_vms()).items == () and await self.driver.leftovers() == frozenset()


@asynccontextmanager
async def opened(state_dir: Path, *faults: Fault) -> AsyncIterator[Bench]:
    """Open everything; nothing may be left at the end."""
    signs = Signs(places=(state_dir,))
    before = Census.first(signs)
    async with (
        memory.open_(memory.Config(faults=faults), state_dir=state_dir) as driver,
        store.open_(store.Config(), state_dir=state_dir) as opened_store,
        bus.open_(bus.Config(), state_dir=state_dir) as opened_bus,
        engine_over(driver, opened_store, opened_bus) as engine,
    ):
        yield Bench(driver, opened_store, opened_bus, engine)
    assert await leaks(before, signs) == []
