"""One engine is closed, another opened: the VMs are the host's, not the engine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Channel, Command, ExitStatus
from aetherium.model.vm import VMConfig, VMState
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.testing.assembly import Openers, engine_over
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm.endings import kill
from aetherium.testing.vmm.execs import until_file
from aetherium.testing.vmm_child import COUNT
from aetherium.testing.watched import WatchedDriver


class ReopeningChecks(Bench):
    """Recovery without a crash."""

    async def test_commands_go_on_without_an_engine(
        self, driver: WatchedDriver, store: StateStore, bus: EventBus
    ) -> None:
        async with engine_over(driver, store, bus) as engine:
            vm = await engine.vms.create(VMConfig())
            await engine.vms.spawn(vm.id, Command.script(COUNT), key="count")
        async with engine_over(driver, store, bus) as engine:
            assert await engine.vms.get(vm.id) == vm
            await whole_count(engine, vm.id)
            await engine.vms.delete(vm.id)

    async def test_two_engines_share_a_vm(
        self, engine: Engine, driver: WatchedDriver, store: StateStore, bus: EventBus
    ) -> None:
        vm = await engine.vms.create(VMConfig())
        async with engine_over(driver, store, bus) as other:
            assert (await other.vms.exec(vm.id, Command("echo", ["two"]))).stdout == "two\n"
            assert (await engine.vms.exec(vm.id, Command("echo", ["one"]))).stdout == "one\n"
            await other.vms.stop(vm.id)
        assert (await engine.vms.get(vm.id)).state is VMState.STOPPED

    async def test_what_happened_meanwhile_is_seen(
        self, driver: WatchedDriver, store: StateStore, bus: EventBus
    ) -> None:
        async with engine_over(driver, store, bus) as engine:
            vm = await engine.vms.create(VMConfig())
        await kill(driver, vm)
        async with bus.subscribe("vm.stopped") as events, engine_over(driver, store, bus) as engine:
            seen = (await engine.vms.list()).items[0]
            assert seen.state is VMState.STOPPED
            assert seen.stop_reason is not None
            assert seen.stop_reason.rule == "died"
            assert (await within(5, anext(events))).subject == vm.id
            await engine.vms.delete(vm.id)

    async def test_everything_is_closed_and_opened(
        self, openers: Openers, driver: WatchedDriver, bus: EventBus, state_dir: Path, store_dir: Path, seen: set[str]
    ) -> None:
        if not driver.capabilities.durable:
            pytest.skip("the driver's VMs die with it")
        if openers.durable_store is None:
            pytest.skip("no durable store was given")
        async with (
            openers.durable_store(state_dir=store_dir) as store,
            openers.driver(state_dir=state_dir) as first,
            engine_over(first, store, bus) as engine,
        ):
            vm = await engine.vms.create(VMConfig())
            seen.add(vm.id)
            await engine.vms.spawn(vm.id, Command.script(f"echo > begun; {COUNT}"), key="count")
            await until_file(engine, vm, "begun")
            handle = await first.find(vm)
            assert handle is not None
        async with (
            openers.durable_store(state_dir=store_dir) as store,
            openers.driver(state_dir=state_dir) as second,
            engine_over(second, store, bus) as engine,
        ):
            assert await engine.vms.get(vm.id) == vm
            assert await second.find(vm) == handle
            await whole_count(engine, vm.id)
            await engine.vms.stop(vm.id)
            await engine.vms.delete(vm.id)


async def whole_count(engine: Engine, vm_id: str) -> None:
    """Read the output of ``COUNT`` in two goes, by offset, and miss nothing."""
    printed = b""
    async with engine.vms.attach(vm_id, "count") as command:
        while len(printed) < 1000:
            item = await within(10, command.read())
            assert not isinstance(item, ExitStatus)
            printed += item.data
    await engine.vms.exec(vm_id, Command("touch", ["go"]))
    async with engine.vms.attach(vm_id, "count", stdout_offset=len(printed)) as command:
        assert command.lost[Channel.STDOUT] == 0
        while not isinstance(item := await within(10, command.read()), ExitStatus):
            assert item.offset == len(printed)
            printed += item.data
    assert printed == b"".join(b"%d\n" % n for n in range(1, 2001)) + b"end\n"
