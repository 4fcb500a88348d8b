"""Records that a dead process left, settled by the next engine. The dead process is only a word in the record here; the
conformance suite kills real ones."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.drivers.vmm.memory import Fault
from aetherium.model.command import Command
from aetherium.model.errors import NotFound
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.ports.store import Pending
from aetherium.testing.assembly import engine_over
from tests.unit.core.bench import Bench, opened

_DEAD = "4194304:1"


async def interrupt(bench: Bench, vm: VM, operation: str, step: str, *, handle: bool = True) -> None:
    """Make the record of a VM what a process leaves that dies at that step."""
    record = await bench.store.get_vm(vm.id)
    written = record.handle if handle else None
    await bench.store.update_vm(replace(record, vm=vm, handle=written, pending=Pending(operation, step, _DEAD)))


@pytest.mark.parametrize("start", [False, True])
async def test_a_create_is_undone(tmp_path: Path, *, start: bool) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig(), start=start)
        await interrupt(bench, vm, "create", "launch", handle=False)
        async with engine_over(bench.driver, bench.store, bench.bus):
            pass
        assert await bench.is_empty()


async def test_a_start_whose_machine_runs_is_adopted(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig(timeout_s=500))
        starting = replace(vm, state=VMState.STARTING, started_at=None, expires_at=None)
        await interrupt(bench, starting, "start", "launch", handle=False)
        async with bench.bus.subscribe("vm.started") as events, reopened(bench) as engine:
            assert (await anext(events)).data["recovered"] is True
            seen = await engine.vms.get(vm.id)
            assert seen.state is VMState.RUNNING
            assert seen.expires_at is not None, "its time to live still counts"
            assert (await engine.vms.exec(vm.id, Command("echo", ["x"]))).stdout == "x\n"


async def test_a_start_without_a_machine_has_failed(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig(), start=False)
        await interrupt(bench, replace(vm, state=VMState.STARTING), "start", "launch")
        async with reopened(bench) as engine:
            seen = await engine.vms.get(vm.id)
            assert seen.state is VMState.FAILED
            assert seen.stop_reason is not None
            assert seen.stop_reason.rule == "interrupted"
            assert (await engine.vms.start(vm.id)).state is VMState.RUNNING


async def test_a_start_whose_agent_does_not_answer_is_ended(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="connect", call=2)) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        await interrupt(bench, replace(vm, state=VMState.STARTING), "start", "launch", handle=False)
        async with reopened(bench) as engine:
            assert (await engine.vms.get(vm.id)).state is VMState.FAILED
        assert await bench.driver.find(vm) is None


async def test_a_stop_is_finished(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        await interrupt(bench, replace(vm, state=VMState.STOPPING), "stop", "ask")
        async with reopened(bench) as engine:
            assert (await engine.vms.get(vm.id)).state is VMState.STOPPED
        assert await bench.driver.find(vm) is None


@pytest.mark.parametrize("was_paused", [False, True])
async def test_a_pause_is_what_the_machine_says(tmp_path: Path, *, was_paused: bool) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        if was_paused:
            record = await bench.store.get_vm(vm.id)
            assert record.handle is not None
            await bench.driver.pause(vm, record.handle)
        await interrupt(bench, vm, "pause", "freeze")
        async with reopened(bench) as engine:
            seen = await engine.vms.get(vm.id)
            assert seen.state is (VMState.PAUSED if was_paused else VMState.RUNNING)


async def test_a_delete_is_finished(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        await interrupt(bench, vm, "delete", "remove")
        async with reopened(bench) as engine:
            with pytest.raises(NotFound):
                await engine.vms.get(vm.id)
        assert await bench.is_empty()


async def test_remains_of_a_create_do_not_hold_the_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig(name="wanted"), key="job", start=False)
        await interrupt(bench, vm, "create", "provision", handle=False)
        again = await bench.engine.vms.create(VMConfig(name="wanted"), key="job")
        assert again.id != vm.id
        assert await bench.driver.leftovers() == {again.id}


async def test_one_vm_that_cannot_be_looked_at_spoils_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="inspect", call=1, error="internal")) as bench:
        first = await bench.engine.vms.create(VMConfig())
        second = await bench.engine.vms.create(VMConfig())
        record = await bench.store.get_vm(second.id)
        assert record.handle is not None
        await bench.driver.stop(second, record.handle)
        async with reopened(bench) as engine:
            states = {vm.id: vm.state for vm in (await engine.vms.list()).items}
        assert states == {first.id: VMState.RUNNING, second.id: VMState.STOPPED}


async def test_a_vm_somebody_works_on_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        await interrupt(bench, replace(vm, state=VMState.STOPPING), "stop", "ask")
        async with bench.store.lock(vm.id, timeout_s=1), reopened(bench) as engine:
            assert (await engine.vms.get(vm.id)).state is VMState.STOPPING


async def test_without_recovery_each_is_settled_when_it_is_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        await interrupt(bench, replace(vm, state=VMState.STOPPING), "stop", "ask")
        async with engine_over(bench.driver, bench.store, bench.bus, recover=False) as engine:
            assert (await engine.vms.list()).items[0].state is VMState.STOPPING
            assert (await engine.vms.get(vm.id)).state is VMState.STOPPED


def reopened(bench: Bench) -> AbstractAsyncContextManager[Engine]:
    """Open a second engine, as a later process would."""
    return engine_over(bench.driver, bench.store, bench.bus)
