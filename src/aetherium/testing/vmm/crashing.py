"""kill -9 of the engine's process at every point where it writes something down or calls the driver."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from aetherium._util.ids import new_id
from aetherium.core.engine import Engine
from aetherium.core.journal import Step
from aetherium.model.command import Channel, Command, ExitStatus
from aetherium.model.states import SETTLED
from aetherium.model.vm import VM, VMState
from aetherium.testing.assembly import Openers, engine_over
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm_child import Errand
from aetherium.testing.watched import WatchedDriver

_CALLS = ("after create", "after start", "after connect", "after stop", "after delete")
_GONE = frozenset(
    {Step.CREATE_PROVISION, Step.CREATE_LAUNCH, Step.DELETE_REMOVE, Step.DELETE_DONE, *_CALLS} - {"after stop"}
)
"""After a death there, the VM is no more: nobody was told of it yet, or everybody that it is deleted."""
_STATES = {
    Step.CREATE_DONE: {VMState.RUNNING},
    Step.PAUSE_DONE: {VMState.PAUSED},
    Step.RESUME_DONE: {VMState.RUNNING},
    Step.START_DONE: {VMState.RUNNING},
    Step.STOP_ASK: {VMState.STOPPED},
    Step.STOP_DONE: {VMState.STOPPED},
    "after stop": {VMState.STOPPED},
    Step.RECOVER_DONE: {VMState.STOPPED},
}


class CrashingChecks(Bench):
    """For drivers whose VMs outlive the process that made them."""

    @pytest.fixture
    def errand(self, openers: Openers, driver: WatchedDriver, state_dir: Path, store_dir: Path) -> Errand:
        """Return what the child shall do."""
        if not driver.capabilities.durable:
            pytest.skip("the driver's VMs die with their process")
        if openers.durable_store is None:
            pytest.skip("no durable store was given")
        vm_id = new_id("crash")
        return Errand(openers.driver, openers.durable_store, openers.bus, state_dir, store_dir, vm_id, None)

    @asynccontextmanager
    async def recovered(self, errand: Errand, driver: WatchedDriver) -> AsyncIterator[Engine]:
        """Open an engine where the child's was; at the end nothing may be left of its VM."""
        async with (
            errand.store(state_dir=errand.store_dir) as store,
            errand.bus(state_dir=errand.store_dir) as bus,
            engine_over(driver, store, bus) as engine,
        ):
            for record in (await store.list_vms()).items:
                assert record.pending is None, "recovery left an operation half done"
                assert record.vm.state in SETTLED
            yield engine
            assert {vm.id for vm in (await engine.vms.list()).items} == await driver.leftovers()
            for vm in (await engine.vms.list()).items:
                await engine.vms.delete(vm.id)

    @pytest.mark.parametrize("point", [*Step, *_CALLS])
    async def test_at(self, errand: Errand, driver: WatchedDriver, seen: set[str], point: str) -> None:
        if point.startswith(("pause.", "resume.")) and not driver.capabilities.can_pause:
            pytest.skip("the driver cannot pause")
        seen.add(errand.vm_id)
        async with child(errand, die_at=str(point)) as process:
            said, _ = await within(40, process.communicate())
            assert process.returncode == -signal.SIGKILL, f"the walk never came to {point!r}: {said!r}"
        async with self.recovered(errand, driver) as engine:
            found = (await engine.vms.list()).items
            if point in _GONE:
                assert found == ()
                return
            (vm,) = found
            assert vm.state in _STATES.get(point, SETTLED)
            had_file = point != Step.CREATE_DONE and driver.capabilities.files_survive_stop
            await usable(engine, vm, content="kept\n" if had_file else None)

    async def test_a_vm_and_its_command_go_on(self, errand: Errand, driver: WatchedDriver, seen: set[str]) -> None:
        seen.add(errand.vm_id)
        async with child(errand, die_at=None) as process:
            assert process.stdout is not None
            assert await within(40, process.stdout.readline()) == b"running\n"
            process.kill()
            await within(10, process.wait())
        async with self.recovered(errand, driver) as engine:
            vm = await engine.vms.get(errand.vm_id)
            assert vm.state is VMState.RUNNING
            await engine.vms.exec(vm.id, Command("touch", ["go"]))
            printed = b""
            async with engine.vms.attach(vm.id, "count") as command:
                while not isinstance(item := await within(10, command.read()), ExitStatus):
                    assert item.offset == len(printed)
                    printed += item.data
                assert command.lost[Channel.STDOUT] == 0
            assert printed == b"".join(b"%d\n" % n for n in range(1, 2001)) + b"end\n"
            await usable(engine, vm, content="kept\n")


async def usable(engine: Engine, vm: VM, *, content: str | None) -> None:
    """Check that a VM can be brought to run and work, and that ``file`` has that content."""
    if vm.state is VMState.PAUSED:
        vm = await engine.vms.resume(vm.id)
    if vm.state is not VMState.RUNNING:
        vm = await engine.vms.start(vm.id)
    assert (await engine.vms.exec(vm.id, Command("echo", ["works"]))).stdout == "works\n"
    if content is not None:
        assert (await engine.vms.exec(vm.id, Command("cat", ["file"]))).stdout == content


@asynccontextmanager
async def child(errand: Errand, *, die_at: str | None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``vmm_child``; it is gone at the end."""
    told = pickle.dumps(
        Errand(errand.driver, errand.store, errand.bus, errand.state_dir, errand.store_dir, errand.vm_id, die_at)
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "aetherium.testing.vmm_child",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        assert process.stdin is not None
        process.stdin.write(len(told).to_bytes(8, "little") + told)
        with suppress(ConnectionError):
            await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if process.stdin is not None:
            process.stdin.close()
