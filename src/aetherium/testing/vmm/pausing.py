"""Pause and resume."""

from __future__ import annotations

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command, Output
from aetherium.model.errors import Conflict, Unsupported
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.ports.vmm import Presence
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.watched import WatchedDriver


class PausingChecks(Bench):
    """For drivers that can; the others say so."""

    async def test_work_stops_and_goes_on(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        unless_it_can_pause(driver)
        count = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done"
        async with engine.vms.process(vm.id, Command.script(count)) as process:
            assert isinstance(await within(10, process.read()), Output)
            assert (await engine.vms.pause(vm.id)).state is VMState.PAUSED
            handle = await driver.find(vm)
            assert handle is not None
            assert (await driver.inspect(vm, handle)).presence is Presence.PAUSED
            with pytest.raises(TimeoutError):
                await within(0.3, process.wait())  # what was already under way, then nothing more
            assert (await engine.vms.get(vm.id)).state is VMState.PAUSED
            assert (await engine.vms.resume(vm.id)).state is VMState.RUNNING
            assert isinstance(await within(10, process.read()), Output)

    async def test_commands_are_refused_at_once(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        unless_it_can_pause(driver)
        await engine.vms.exec(vm.id, Command("true"))
        await engine.vms.pause(vm.id)
        with pytest.raises(Conflict) as caught:
            await within(2, engine.vms.exec(vm.id, Command("true")))
        assert "paused" in caught.value.message
        assert not (await engine.vms.health(vm.id)).is_healthy
        await engine.vms.resume(vm.id)
        assert (await engine.vms.exec(vm.id, Command("echo", ["on"]))).stdout == "on\n"

    async def test_repeatable_and_refused_in_other_states(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        unless_it_can_pause(driver)
        assert await engine.vms.resume(vm.id) == vm
        await engine.vms.pause(vm.id)
        assert (await engine.vms.pause(vm.id)).state is VMState.PAUSED
        with pytest.raises(Conflict):
            await engine.vms.start(vm.id)
        await engine.vms.stop(vm.id, force=True)
        with pytest.raises(Conflict):
            await engine.vms.pause(vm.id)
        with pytest.raises(Conflict):
            await engine.vms.resume(vm.id)

    @pytest.mark.parametrize("force", [False, True])
    async def test_a_paused_vm_can_be_stopped(
        self, engine: Engine, vm: VM, driver: WatchedDriver, *, force: bool
    ) -> None:
        unless_it_can_pause(driver)
        await engine.vms.spawn(vm.id, Command("sleep", ["600"]))
        await engine.vms.pause(vm.id)
        assert (await within(10, engine.vms.stop(vm.id, force=force))).state is VMState.STOPPED

    async def test_a_paused_vm_can_be_deleted(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        unless_it_can_pause(driver)
        await engine.vms.pause(vm.id)
        await within(10, engine.vms.delete(vm.id))

    async def test_unsupported_where_it_is_not(self, engine: Engine, driver: WatchedDriver) -> None:
        if driver.capabilities.can_pause:
            pytest.skip("the driver can pause")
        vm = await engine.vms.create(VMConfig())
        with pytest.raises(Unsupported):
            await engine.vms.pause(vm.id)


def unless_it_can_pause(driver: WatchedDriver) -> None:
    """Skip for drivers that cannot pause."""
    if not driver.capabilities.can_pause:
        pytest.skip("the driver cannot pause")
