"""Drivers that break a rule each, and the suite over them. ``test_suite`` runs this file and wants it to fail.

Its name keeps it out of the ordinary collection.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aetherium.drivers.bus import memory as bus
from aetherium.drivers.store import memory as store
from aetherium.drivers.store import sqlite
from aetherium.drivers.vmm.memory import Config
from aetherium.drivers.vmm.memory.driver import MemoryDriver
from aetherium.model.vm import VM, Isolation
from aetherium.ports.vmm import Handle, Observed, Presence, Started
from aetherium.testing.vmm import Openers, VMMConformance


@asynccontextmanager
async def opened(kind: type[MemoryDriver], *, state_dir: Path) -> AsyncIterator[MemoryDriver]:
    driver = kind(Config(), state_dir / "memory")
    try:
        yield driver
    finally:
        driver.close()


def openers(kind: type[MemoryDriver]) -> Openers:
    return Openers(
        driver=partial(opened, kind),
        store=partial(store.open_, store.Config()),
        bus=partial(bus.open_, bus.Config()),
        durable_store=partial(sqlite.open_, sqlite.Config()),
    )


class TestSound(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(MemoryDriver)


class StopsNothing(MemoryDriver):
    """``stop`` leaves the agent."""

    async def stop(self, vm: VM, handle: Handle) -> None:
        return


class TestStopsNothing(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(StopsNothing)


class ForgetsFiles(MemoryDriver):
    """Each start begins with an empty disk, whatever the capabilities say."""

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        shutil.rmtree(self._own / vm.id / "work")
        return await super().start(vm, agent_args=agent_args)


class TestForgetsFiles(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(ForgetsFiles)


class PausesNothing(MemoryDriver):
    """It says that it can pause, and does not."""

    async def pause(self, vm: VM, handle: Handle) -> None:
        return


class TestPausesNothing(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(PausesNothing)


class Boasts(MemoryDriver):
    """It says that it isolates."""

    capabilities = replace(MemoryDriver.capabilities, isolation=Isolation.NAMESPACE)


class TestBoasts(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(Boasts)


class Immortal(MemoryDriver):
    """It sees every VM running, for ever."""

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        return Observed(Presence.RUNNING)


class TestImmortal(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(Immortal)


class Litters(MemoryDriver):
    """``delete`` leaves a file."""

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        await super().delete(vm_id, handle)
        (self._all.parent / f"{vm_id}.log").write_text("was here")


class TestLitters(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(Litters)


class LeaksDescriptors(MemoryDriver):
    """Each connection costs a descriptor."""

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        os.pipe()
        return await super().connect(vm, handle, protocol)


class TestLeaksDescriptors(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(LeaksDescriptors)


class LeaksTasks(MemoryDriver):
    """Each start leaves a task that waits for ever."""

    tasks: list[asyncio.Task[Any]]

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        self.tasks = [asyncio.create_task(asyncio.Event().wait(), name="forgotten")]
        return await super().start(vm, agent_args=agent_args)


class TestLeaksTasks(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(LeaksTasks)


class Blind(MemoryDriver):
    """It finds nothing that is not in a row."""

    async def leftovers(self) -> frozenset[str]:
        return frozenset()


class TestBlind(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(Blind)


class SaysItLasts(MemoryDriver):
    """It says that its VMs outlive the process."""

    capabilities = replace(MemoryDriver.capabilities, durable=True)


class TestSaysItLasts(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(SaysItLasts)


class CannotBeCancelled(MemoryDriver):
    """A cancelled start leaves what ``delete`` does not look for."""

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        note = self._all.parent / f"{vm.id}.starting"
        note.touch()
        await asyncio.sleep(0)
        note.unlink()
        return await super().start(vm, agent_args=agent_args)


class TestCannotBeCancelled(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return openers(CannotBeCancelled)
