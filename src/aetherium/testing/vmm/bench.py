"""What the checks stand on: the driver under test, an engine over it, a VM that runs, and a census around each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from aetherium.core.engine import Engine
from aetherium.model.vm import VM, VMConfig
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.ports.vmm import Probe, VMOrchestrator
from aetherium.testing.assembly import Openers, engine_over
from aetherium.testing.census import Census, Signs, leaks
from aetherium.testing.requirements import requires
from aetherium.testing.watched import WatchedDriver

T = TypeVar("T")
_probes: dict[type, Probe] = {}
_rooms: dict[type, Path] = {}


class Bench:
    """The fixtures. A driver's test class gives ``openers``."""

    @pytest.fixture
    def openers(self) -> Openers:
        """Return how to open the driver under test and its surroundings."""
        raise NotImplementedError("a driver's test class gives the fixture 'openers'")

    @pytest.fixture
    async def state_dir(self, openers: Openers, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Return the driver's own state directory; skip, or fail if it was promised, when it does not work here.

        The tests of a class share it, and a VM has lived in it before the first: what a driver makes once for all VMs
        and keeps is no leak, what a test adds to that is.
        """
        room = _rooms.get(type(self))
        if room is None:
            room = tmp_path_factory.mktemp("state")
            room.chmod(0o700)
            async with openers.driver(state_dir=room) as driver:
                if type(self) not in _probes:
                    _probes[type(self)] = await driver.probe()
                probe = _probes[type(self)]
                requires(driver.name, unmet=None if probe.is_healthy else probe.reason)
                elsewhere = tmp_path_factory.mktemp("warm")
                async with (
                    openers.store(state_dir=elsewhere) as store,
                    openers.bus(state_dir=elsewhere) as bus,
                    engine_over(driver, store, bus) as engine,
                ):
                    await engine.vms.delete((await engine.vms.create(VMConfig())).id)
            _rooms[type(self)] = room
        return room

    @pytest.fixture
    def store_dir(self, tmp_path: Path) -> Path:
        """Return the store's state directory, apart from the driver's so that both can be looked at alone."""
        directory = tmp_path / "store"
        directory.mkdir(mode=0o700)
        return directory

    @pytest.fixture
    def seen(self) -> set[str]:
        """Return the ids of all VMs that the driver heard of in this test."""
        return set()

    @pytest.fixture(autouse=True)
    async def census(self, state_dir: Path, seen: set[str]) -> AsyncIterator[None]:
        """Fail a test that leaves something behind."""
        before = Census.first(Signs(places=(state_dir,)))
        yield
        left = await leaks(before, Signs(places=(state_dir,), names=frozenset(seen)))
        if left:
            _rooms.pop(type(self), None)  # the next test shall not suffer for this one
            pytest.fail("left behind:\n" + "\n".join(left), pytrace=False)

    @pytest.fixture
    async def raw_driver(self, openers: Openers, state_dir: Path, census: None) -> AsyncIterator[VMOrchestrator]:
        """Open the driver under test."""
        async with openers.driver(state_dir=state_dir) as driver:
            yield driver

    @pytest.fixture
    def driver(self, raw_driver: VMOrchestrator, seen: set[str]) -> WatchedDriver:
        """Return the driver under test, watched."""
        return WatchedDriver(raw_driver, seen)

    @pytest.fixture
    async def store(self, openers: Openers, store_dir: Path, census: None) -> AsyncIterator[StateStore]:
        """Open a store."""
        async with openers.store(state_dir=store_dir) as store:
            yield store

    @pytest.fixture
    async def bus(self, openers: Openers, store_dir: Path, census: None) -> AsyncIterator[EventBus]:
        """Open a bus."""
        async with openers.bus(state_dir=store_dir) as bus:
            yield bus

    @pytest.fixture
    async def engine(self, driver: WatchedDriver, store: StateStore, bus: EventBus) -> AsyncIterator[Engine]:
        """Open an engine, and delete what VMs are left at the end."""
        async with engine_over(driver, store, bus) as engine:
            yield engine
            driver.pass_through()
            for vm in (await engine.vms.list()).items:
                await engine.vms.delete(vm.id)

    @pytest.fixture
    async def vm(self, engine: Engine) -> VM:
        """Return a VM that runs."""
        return await engine.vms.create(VMConfig())


async def within(seconds: float, waiting: Awaitable[T]) -> T:
    """Wait for something that must happen."""
    async with asyncio.timeout(seconds):
        return await waiting
