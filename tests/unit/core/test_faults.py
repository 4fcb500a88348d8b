"""Drivers that fail: what the engine then says, and that it leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from aetherium.drivers.vmm.memory import Fault, FaultKind
from aetherium.model.command import Command
from aetherium.model.errors import (
    AetheriumError,
    DeadlineExceeded,
    DriverUnavailable,
    GuestUnreachable,
    NotFound,
    ResourceExhausted,
)
from aetherium.model.vm import VMConfig, VMState
from tests.unit.core.bench import opened


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["create", "start", "connect"])
async def test_a_create_that_fails_leaves_nothing(tmp_path: Path, method: str, *, after: bool) -> None:
    async with opened(tmp_path, Fault(method=method, after=after, error="resource_exhausted")) as bench:
        with pytest.raises(ResourceExhausted):
            await bench.engine.vms.create(VMConfig(id="vm-1"))
        assert await bench.is_empty()
        assert (await bench.engine.vms.create(VMConfig(id="vm-1"))).state is VMState.RUNNING


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["create", "start", "connect"])
async def test_a_create_that_hangs_ends_in_time(tmp_path: Path, method: str, *, after: bool) -> None:
    async with opened(tmp_path, Fault(method=method, kind=FaultKind.HANG, after=after)) as bench:
        with pytest.raises(DeadlineExceeded):
            await bench.engine.vms.create(VMConfig(), timeout_s=0.3)
        assert await bench.is_empty()


@pytest.mark.parametrize(("method", "kind"), [("start", FaultKind.DIE), ("connect", FaultKind.DROP)])
async def test_an_agent_that_never_speaks(tmp_path: Path, method: str, kind: FaultKind) -> None:
    async with opened(tmp_path, Fault(method=method, kind=kind)) as bench:
        with pytest.raises(GuestUnreachable):
            await bench.engine.vms.create(VMConfig())
        assert await bench.is_empty()


async def test_a_slow_start_is_waited_for(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="start", kind=FaultKind.SLOW, delay_s=0.2)) as bench:
        assert (await bench.engine.vms.create(VMConfig())).state is VMState.RUNNING


async def test_a_failed_start_can_be_tried_again(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="start")) as bench:
        vms = bench.engine.vms
        vm = await vms.create(VMConfig(), start=False)
        async with bench.bus.subscribe("vm.failed") as events:
            with pytest.raises(DriverUnavailable):
                await vms.start(vm.id)
            assert (await anext(events)).data["rule"] == "start_failed"
        failed = await vms.get(vm.id)
        assert failed.state is VMState.FAILED
        assert failed.stop_reason is not None
        assert "as the test asked" in (failed.stop_reason.evidence or "")
        assert (await vms.start(vm.id)).state is VMState.RUNNING


async def test_a_failed_undo_is_done_later(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="start", after=True), Fault(method="delete")) as bench:
        with pytest.raises(DriverUnavailable, match="start fails"):
            await bench.engine.vms.create(VMConfig(id="vm-1"))
        assert await bench.driver.leftovers() == {"vm-1"}
        with pytest.raises(NotFound):
            await bench.engine.vms.get("vm-1")
        assert await bench.is_empty()


async def test_a_failed_undo_does_not_block_the_id(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="create", after=True), Fault(method="delete")) as bench:
        with pytest.raises(DriverUnavailable):
            await bench.engine.vms.create(VMConfig(id="vm-1", name="first"))
        for config in (VMConfig(id="vm-1"), VMConfig(name="first")):
            assert (await bench.engine.vms.create(config)).state is VMState.RUNNING


@pytest.mark.parametrize("after", [False, True])
async def test_a_failed_stop_is_finished_by_the_next_call(tmp_path: Path, *, after: bool) -> None:
    async with opened(tmp_path, Fault(method="stop", after=after)) as bench:
        vms = bench.engine.vms
        vm = await vms.create(VMConfig())
        with pytest.raises(DriverUnavailable):
            await vms.stop(vm.id, force=True)
        seen = await vms.get(vm.id)
        assert seen.state is VMState.STOPPED
        assert seen.stop_reason is not None
        assert seen.stop_reason.rule == "interrupted"
        assert await bench.driver.find(vm) is None


async def test_a_failed_delete_is_finished_by_the_next_call(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="delete")) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        with pytest.raises(DriverUnavailable):
            await bench.engine.vms.delete(vm.id)
        with pytest.raises(NotFound):
            await bench.engine.vms.get(vm.id)
        assert await bench.is_empty()


async def test_a_failed_pause_leaves_a_vm_that_works(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="pause")) as bench:
        vms = bench.engine.vms
        vm = await vms.create(VMConfig())
        with pytest.raises(DriverUnavailable):
            await vms.pause(vm.id)
        assert (await vms.get(vm.id)).state is VMState.RUNNING
        assert (await vms.exec(vm.id, Command("echo", ["on"]))).stdout == "on\n"
        assert (await vms.pause(vm.id)).state is VMState.PAUSED


async def test_looking_fails_and_nothing_is_concluded(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="inspect", call=0)) as bench:
        vm = await bench.engine.vms.create(VMConfig())
        assert await bench.engine.vms.get(vm.id) == vm


async def test_an_error_of_no_known_class_undoes_too(tmp_path: Path) -> None:
    async with opened(tmp_path, Fault(method="start", after=True, error="made_up")) as bench:
        with pytest.raises(AetheriumError):
            await bench.engine.vms.create(VMConfig())
        assert await bench.is_empty()
