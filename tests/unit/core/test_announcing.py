"""A bus that is slow or broken, and operations that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from aetherium.model.errors import Unavailable
from aetherium.model.event import Event
from aetherium.model.vm import VMConfig, VMState
from aetherium.testing.assembly import engine_over
from tests.unit.core.bench import opened


class DeafBus:
    """Fails, or with ``hangs`` never returns."""

    def __init__(self, *, hangs: str = "") -> None:
        self._hangs = hangs
        self.was_called = asyncio.Event()

    async def publish(self, event: Event) -> None:
        if event.type == self._hangs:
            self.was_called.set()
            await asyncio.Event().wait()
        if not self._hangs:
            raise Unavailable("the bus is down")

    def subscribe(
        self, pattern: str = "*", *, backlog: int = 1024
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        raise NotImplementedError


async def test_a_broken_bus_harms_no_operation(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench, engine_over(bench.driver, bench.store, DeafBus()) as engine:
        vm = await engine.vms.create(VMConfig())
        assert (await engine.vms.stop(vm.id)).state is VMState.STOPPED
        await engine.vms.delete(vm.id)
        assert await bench.is_empty()


async def test_a_create_cancelled_while_it_is_announced_leaves_nothing(tmp_path: Path) -> None:
    bus = DeafBus(hangs="vm.created")
    async with opened(tmp_path) as bench, engine_over(bench.driver, bench.store, bus) as engine:
        task = asyncio.create_task(engine.vms.create(VMConfig()))
        await bus.was_called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await bench.is_empty()


async def test_a_start_cancelled_while_it_is_announced_is_undone(tmp_path: Path) -> None:
    bus = DeafBus(hangs="vm.started")
    async with opened(tmp_path) as bench, engine_over(bench.driver, bench.store, bus) as engine:
        vm = await engine.vms.create(VMConfig(), start=False)
        task = asyncio.create_task(engine.vms.start(vm.id))
        await bus.was_called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await engine.vms.get(vm.id)).state is VMState.FAILED
        assert await bench.driver.find(vm) is None
