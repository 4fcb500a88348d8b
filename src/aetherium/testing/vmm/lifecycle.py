"""The walk through a VM's life, and what is refused on the way."""

from __future__ import annotations

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.testing.vmm.bench import Bench
from aetherium.testing.watched import WatchedDriver


class LifecycleChecks(Bench):
    """Create, start, stop, delete."""

    async def test_walk(self, engine: Engine, driver: WatchedDriver) -> None:
        vm = await engine.vms.create(VMConfig())
        assert (vm.state, vm.desired_state) == (VMState.RUNNING, VMState.RUNNING)
        assert vm.started_at is not None
        assert vm.stop_reason is None
        assert (await engine.vms.exec(vm.id, Command.script("echo kept > file; pwd"))).exit_code == 0
        stopped = await engine.vms.stop(vm.id)
        assert (stopped.state, stopped.desired_state) == (VMState.STOPPED, VMState.STOPPED)
        assert stopped.stop_reason is not None
        assert (stopped.stop_reason.who, stopped.stop_reason.rule) == ("caller", "asked")
        again = await engine.vms.start(vm.id)
        assert again.state is VMState.RUNNING
        assert again.stop_reason is None
        if driver.capabilities.files_survive_stop:
            assert (await engine.vms.exec(vm.id, Command("cat", ["file"]))).stdout == "kept\n"
        await engine.vms.delete(vm.id)
        with pytest.raises(NotFound):
            await engine.vms.get(vm.id)

    async def test_what_isolates_it_is_written_down(self, vm: VM, driver: WatchedDriver) -> None:
        assert vm.isolation is driver.capabilities.isolation
        assert vm.driver == driver.name
        assert set(vm.limits_enforced) <= driver.capabilities.limits

    async def test_create_twice(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(name="one"), start=False)
        for taken in (VMConfig(id=vm.id), VMConfig(name="one"), VMConfig(id="one"), VMConfig(name=vm.id)):
            with pytest.raises(AlreadyExists):
                await engine.vms.create(taken, start=False)
        assert [found.id for found in (await engine.vms.list()).items] == [vm.id]

    async def test_create_without_start(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(), start=False)
        assert vm.state is VMState.CREATED
        with pytest.raises(Conflict):
            await engine.vms.exec(vm.id, Command("true"))
        assert (await engine.vms.stop(vm.id)).state is VMState.CREATED
        assert (await engine.vms.start(vm.id)).state is VMState.RUNNING

    @pytest.mark.parametrize("call", ["get", "start", "stop", "pause", "resume", "delete", "execs", "stats", "health"])
    async def test_unknown(self, engine: Engine, call: str) -> None:
        with pytest.raises(NotFound) as caught:
            await getattr(engine.vms, call)("no-such-vm")
        assert "no-such-vm" in caught.value.message

    async def test_start_and_stop_are_repeatable(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        assert await engine.vms.start(vm.id) == vm
        first = await engine.vms.stop(vm.id)
        assert await engine.vms.stop(vm.id) == first
        assert [method for method, _ in driver.calls].count("start") == 1

    async def test_delete_ends_a_vm_that_runs(self, engine: Engine, vm: VM) -> None:
        await engine.vms.delete(vm.id)
        with pytest.raises(NotFound):
            await engine.vms.delete(vm.id)

    async def test_a_name_works_like_the_id(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(name="worker"))
        assert (await engine.vms.get("worker")).id == vm.id
        assert (await engine.vms.exec("worker", Command("echo", ["x"]))).stdout == "x\n"
        assert (await engine.vms.health("worker")).is_healthy
        assert (await engine.vms.stop("worker")).id == vm.id
        await engine.vms.delete("worker")

    async def test_nothing_is_made_of_a_refused_request(self, engine: Engine, driver: WatchedDriver) -> None:
        for wrong in ({"cpus": 0}, {"memory_mib": 1}, {"pids": 1}, {"timeout_s": -1}, {"id": "../x"}, {"name": "A b"}):
            with pytest.raises(InvalidArgument):
                await engine.vms.create(VMConfig(**wrong))
        assert driver.calls == []
        assert await driver.leftovers() == frozenset()

    async def test_driver_methods_are_repeatable(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        started = await driver.find(vm)
        assert started is not None
        await driver.create(vm)
        await driver.stop(vm, started)
        await driver.stop(vm, started)
        await driver.wait(vm, started)
        await driver.delete(vm.id, started)
        await driver.delete(vm.id, None)
        assert vm.id not in await driver.leftovers()
