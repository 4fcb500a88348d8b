"""Cancelling a create or a start wherever it is: nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from aetherium.core.engine import Engine
from aetherium.core.journal import Step
from aetherium.model.command import Command
from aetherium.model.vm import VMConfig, VMState
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.testing.assembly import engine_over
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.watched import WatchedDriver

_STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 50, 100)


class Points:
    """Where an operation passes: journal steps and driver calls. Cancels a task at the one that is chosen."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self._task: asyncio.Task[Any] | None = None
        self._at: int | None = None

    def arm(self, task: asyncio.Task[Any] | None, at: int | None) -> None:
        """Begin anew; cancel ``task`` at its point number ``at``."""
        self.passed.clear()
        self._task, self._at = task, at

    def note(self, point: str) -> None:
        """Pass a point."""
        self.passed.append(point)
        if self._task is not None and len(self.passed) - 1 == self._at:
            self._task.cancel()

    def step(self, step: Step) -> None:
        """Pass a journal step."""
        self.note(step.value)


class CancellingChecks(Bench):
    """At each point, and after so many turns of the event loop."""

    @pytest.fixture
    def points(self) -> Points:
        """Return the points that an operation passes."""
        return Points()

    @pytest.fixture
    async def cancelled_engine(
        self, driver: WatchedDriver, store: StateStore, bus: EventBus, points: Points
    ) -> AsyncIterator[Engine]:
        """Open an engine that notes its points."""
        driver.on_call(points.note)
        async with engine_over(driver, store, bus, on_step=points.step) as engine:
            yield engine
            driver.pass_through()
            for vm in (await engine.vms.list()).items:
                await engine.vms.delete(vm.id)

    async def test_create_at_each_point(self, cancelled_engine: Engine, driver: WatchedDriver, points: Points) -> None:
        vms = cancelled_engine.vms
        await vms.delete((await vms.create(VMConfig())).id)
        walk = points.passed[: points.passed.index(Step.CREATE_DONE) + 1]
        assert {"before create", "before start", "before connect", Step.CREATE_LAUNCH} <= set(walk)
        for at, point in enumerate(walk):
            task = asyncio.create_task(vms.create(VMConfig()))
            points.arm(task, at)
            assert await was_cancelled(task), f"the cancellation at {point!r} was swallowed"
            points.arm(None, None)
            if point == Step.CREATE_DONE:  # nothing is left to wait for: it may have been just done
                for vm in (await vms.list()).items:
                    await vms.delete(vm.id)
            assert (await vms.list()).items == (), f"a row is left after {point!r}"
            assert await driver.leftovers() == frozenset(), f"something is left after {point!r}"

    async def test_start_at_each_point(self, cancelled_engine: Engine, driver: WatchedDriver, points: Points) -> None:
        vms = cancelled_engine.vms
        vm = await vms.create(VMConfig(), start=False)
        points.arm(None, None)
        await vms.start(vm.id)
        walk = points.passed[: points.passed.index(Step.START_DONE) + 1]
        for at, point in enumerate(walk):
            await vms.stop(vm.id, force=True)
            task = asyncio.create_task(vms.start(vm.id))
            points.arm(task, at)
            assert await was_cancelled(task), f"the cancellation at {point!r} was swallowed"
            points.arm(None, None)
            seen = await vms.get(vm.id)
            if seen.state is VMState.RUNNING:
                assert point == Step.START_DONE, f"it runs though its start was cancelled at {point!r}"
            else:
                assert seen.state in (VMState.STOPPED, VMState.CREATED, VMState.FAILED)
                assert await driver.find(vm) is None, f"a machine is left after {point!r}"
            await vms.start(vm.id)
            assert (await vms.exec(vm.id, Command("echo", ["fine"]))).stdout == "fine\n"

    async def test_create_after_so_many_turns(self, engine: Engine, driver: WatchedDriver) -> None:
        for turns in _STEPS:
            task = asyncio.create_task(engine.vms.create(VMConfig()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            if await was_cancelled(task):
                assert (await engine.vms.list()).items == (), f"a row is left after {turns} turns"
                assert await driver.leftovers() == frozenset(), f"something is left after {turns} turns"
            else:
                await engine.vms.delete(task.result().id)

    async def test_a_cancelled_stop_is_done_nevertheless(
        self, cancelled_engine: Engine, driver: WatchedDriver, points: Points
    ) -> None:
        vm = await cancelled_engine.vms.create(VMConfig())
        task = asyncio.create_task(cancelled_engine.vms.stop(vm.id, grace_s=0))
        points.arm(task, 0)
        await was_cancelled(task)
        points.arm(None, None)
        assert (await cancelled_engine.vms.get(vm.id)).state is VMState.STOPPED


async def was_cancelled(task: asyncio.Task[Any]) -> bool:
    """Wait for the end of a task and say whether it was cancelled."""
    waiting: Awaitable[Any] = asyncio.wait([task])
    await within(30, waiting)
    return task.cancelled()
