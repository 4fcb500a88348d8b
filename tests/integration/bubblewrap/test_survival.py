"""A VM belongs to the host: it outlives whoever started it, and is found whatever that one left undone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from aetherium.drivers.vmm.bubblewrap import launch
from aetherium.drivers.vmm.bubblewrap.handle import machine
from aetherium.drivers.vmm.bubblewrap.limits import Limits
from aetherium.drivers.vmm.bubblewrap.processes import identify
from aetherium.model.errors import AetheriumError, DriverUnavailable, GuestUnreachable, InvalidArgument, Unsupported
from aetherium.model.vm import VM, Network
from aetherium.ports.vmm import Handle, Observed, Presence
from aetherium.testing.vmm import Openers
from aetherium.testing.vmm.bench import within
from aetherium.testing.watched import WatchedDriver
from tests.integration.bubblewrap.bench import BubblewrapBench, ask, new_vm, openers

ROOT = Path(__file__).parents[3]


async def child(state_dir: Path, vm_id: str, moment: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT, *sys.path)))}
    python = os.environ.get("AETHERIUM_TEST_PYTHON", sys.executable)
    words = [python, "-m", "tests.integration.bubblewrap.child", str(state_dir), vm_id, moment]
    done = await asyncio.to_thread(
        subprocess.run, words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, timeout=30, check=False
    )
    return done.returncode, done.stdout.decode()


class TestSurvival(BubblewrapBench):
    async def test_it_outlives_who_started_it(self, driver: WatchedDriver, state_dir: Path) -> None:
        vm = new_vm()
        driver._seen.add(vm.id)
        code, printed = await child(state_dir, vm.id, "end")
        assert code == 0
        handle = Handle(1, printed.strip())
        assert await driver.inspect(vm, handle) == Observed(Presence.RUNNING)
        assert await ask(driver, vm, handle, "echo", "here") == (0, "here\n", "")
        waiting = asyncio.create_task(driver.wait(vm, handle))
        await driver.stop(vm, handle)
        await within(5, waiting)
        assert (await driver.inspect(vm, handle)).presence is Presence.GONE
        await driver.delete(vm.id, handle)

    @pytest.mark.parametrize(
        "moment",
        ["before-first_process", "after-first_process", "before-agent_started", "after-agent_started"],
    )
    async def test_found_after_a_kill_in_the_middle(self, driver: WatchedDriver, state_dir: Path, moment: str) -> None:
        vm = new_vm()
        driver._seen.add(vm.id)
        code, _ = await child(state_dir, vm.id, moment)
        assert code == -signal.SIGKILL
        assert vm.id in await driver.leftovers()
        handle = await within(5, driver.find(vm))
        if handle is None:  # bwrap ends when it finds nobody to tell of itself
            assert moment == "before-first_process"
            await driver.delete(vm.id, None)
            return
        assert await ask(driver, vm, handle, "id", "-u") == (0, "1000\n", "")
        held = Limits.of_this_process().hierarchies
        for path in machine(handle).cgroups:
            assert str(machine(handle).init.pid) in Path(path, "cgroup.procs").read_text().split()
        assert bool(machine(handle).cgroups) == bool(held)
        await driver.stop(vm, handle)
        assert await driver.find(vm) is None
        await driver.delete(vm.id, handle)

    @pytest.mark.parametrize("moment", ["before-first_process", "after-agent_started"])
    async def test_deleted_after_a_kill_in_the_middle(
        self, driver: WatchedDriver, state_dir: Path, moment: str
    ) -> None:
        vm = new_vm()
        driver._seen.add(vm.id)
        await child(state_dir, vm.id, moment)
        await driver.delete(vm.id, None)
        assert await driver.leftovers() == frozenset()

    async def test_the_monitors_end_does_not_end_it(self, driver: WatchedDriver, running: tuple[VM, Handle]) -> None:
        vm, handle = running
        monitor = machine(handle).monitor
        assert monitor is not None
        os.kill(monitor.pid, signal.SIGKILL)
        assert await ask(driver, vm, handle, "echo", "still") == (0, "still\n", "")
        found = await driver.find(vm)
        assert found is not None
        assert machine(found).init == machine(handle).init

    async def test_the_agents_end_is_the_vms(self, driver: WatchedDriver, running: tuple[VM, Handle]) -> None:
        vm, handle = running
        os.kill(machine(handle).init.pid, signal.SIGTERM)
        await within(10, driver.wait(vm, handle))
        seen = await driver.inspect(vm, handle)
        assert seen.presence is Presence.GONE
        assert seen.evidence
        with pytest.raises(GuestUnreachable):
            await ask(driver, vm, handle, "true")
        # and it starts again
        again = await driver.start(vm)
        assert await ask(driver, vm, again.handle, "echo", "again") == (0, "again\n", "")

    async def test_a_handle_of_another_boot(self, driver: WatchedDriver, running: tuple[VM, Handle]) -> None:
        vm, handle = running
        old = Handle(1, json.dumps({**json.loads(handle.data), "boot": "another"}))
        seen = await driver.inspect(vm, old)
        assert (seen.presence, seen.evidence) == (Presence.GONE, "the host restarted")
        await within(5, driver.wait(vm, old))
        await driver.stop(vm, handle)

    async def test_a_recycled_pid_is_not_touched(self, driver: WatchedDriver) -> None:
        vm = new_vm()
        await driver.create(vm)
        handle = (await driver.start(vm)).handle
        await driver.stop(vm, handle)
        bystander = await asyncio.create_subprocess_exec("sleep", "60")
        data = json.loads(handle.data)
        itself = identify(bystander.pid)
        assert itself is not None
        data["init"] = data["monitor"] = {"pid": itself.pid, "started": itself.started - 1}
        forged = Handle(1, json.dumps(data))
        assert (await driver.inspect(vm, forged)).presence is Presence.GONE
        await driver.stop(vm, forged)
        await driver.delete(vm.id, forged)
        assert bystander.returncode is None
        bystander.kill()
        await bystander.wait()

    async def test_closing_leaves_it_running(self, openers: Openers, state_dir: Path, raw_driver: object) -> None:
        vm = new_vm()
        before = len(os.listdir("/proc/self/fd"))
        async with openers.driver(state_dir=state_dir) as first:
            await first.create(vm)
            handle = (await first.start(vm)).handle
        assert len(os.listdir("/proc/self/fd")) == before
        async with openers.driver(state_dir=state_dir) as second:
            assert await ask(second, vm, handle, "echo", "x") == (0, "x\n", "")
            await second.delete(vm.id, handle)

    async def test_a_state_directory_with_a_long_path(
        self, openers: Openers, state_dir: Path, raw_driver: object
    ) -> None:
        vm, long = new_vm("a" * 63), state_dir.joinpath(*["d" * 100] * 5)
        async with openers.driver(state_dir=long) as driver:
            await driver.create(vm)
            handle = (await driver.start(vm)).handle
            assert await ask(driver, vm, handle, "hostname") == (0, "a" * 63 + "\n", "")
            await driver.delete(vm.id, handle)

    async def test_a_handle_nobody_can_read_does_not_prevent_a_delete(
        self, driver: WatchedDriver, running: tuple[VM, Handle]
    ) -> None:
        vm, _ = running
        await driver.delete(vm.id, Handle(77, "?"))
        assert await driver.leftovers() == frozenset()


class TestStart(BubblewrapBench):
    async def test_a_thread_that_lingers_in_the_group_is_not_ended(
        self, driver: WatchedDriver, running: tuple[VM, Handle]
    ) -> None:
        vm, handle = running
        tasks = [f"{path}/tasks" for path in machine(handle).cgroups]
        if not tasks or not os.path.exists(tasks[0]):
            pytest.skip("needs control groups of version 1")
        entered, leave = threading.Event(), threading.Event()

        def linger() -> None:
            for path in tasks:
                Path(path).write_text("0")
            entered.set()
            leave.wait(10)

        thread = threading.Thread(target=linger)
        thread.start()
        assert await asyncio.to_thread(entered.wait, 10)
        deleting = asyncio.create_task(driver.delete(vm.id, None))
        await within(10, driver.wait(vm, handle))
        leave.set()
        await asyncio.to_thread(thread.join, 10)
        await within(10, deleting)

    @pytest.mark.parametrize("name", ["first_process", "agent_started"])
    async def test_cancelled_it_leaves_nothing(
        self, driver: WatchedDriver, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def stuck(*args: object) -> None:
            reached.set_result(None)
            await asyncio.Event().wait()

        monkeypatch.setattr(launch, name, stuck)
        vm = new_vm()
        await driver.create(vm)
        task = asyncio.create_task(driver.start(vm))
        await within(10, reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await driver.find(vm) is None
        monkeypatch.undo()
        await driver.start(vm)
        await driver.delete(vm.id, None)

    async def test_many_at_once(self, driver: WatchedDriver) -> None:
        vms = [new_vm() for _ in range(5)]

        async def life(vm: VM) -> None:
            await driver.create(vm)
            handle = (await driver.start(vm)).handle
            assert await ask(driver, vm, handle, "echo", vm.id) == (0, vm.id + "\n", "")
            await driver.delete(vm.id, handle)

        await asyncio.gather(*map(life, vms))

    async def test_a_bwrap_that_fails(
        self, state_dir: Path, raw_driver: object, tmp_path: Path, seen: set[str]
    ) -> None:
        from tests.integration.bubblewrap.bench import openers

        broken = tmp_path / "bwrap"
        broken.write_text("#!/bin/sh\necho 'bwrap: Creating new namespace failed: no' >&2; exit 1\n")
        broken.chmod(0o755)
        vm = new_vm()
        async with openers(bwrap=str(broken)).driver(state_dir=state_dir) as driver:
            await driver.create(vm)
            with pytest.raises(DriverUnavailable, match="user namespaces") as caught:
                await driver.start(vm)
            assert "user" in caught.value.remedy
            probe = await driver.probe()
            assert not probe.is_healthy
            await driver.delete(vm.id, None)

    async def test_a_bwrap_that_is_not_there(self, state_dir: Path, raw_driver: object) -> None:
        async with openers(bwrap="/no/such/bwrap").driver(state_dir=state_dir) as driver:
            probe = await driver.probe()
        assert not probe.is_healthy
        assert probe.remedy

    @pytest.mark.parametrize("fields", [{"image": "debian:12"}, {"network": Network.FULL}])
    async def test_what_it_cannot_do_is_refused(self, driver: WatchedDriver, fields: dict[str, Any]) -> None:
        vm = new_vm(**fields)
        with pytest.raises((InvalidArgument, Unsupported)) as caught:
            await driver.create(vm)
        assert caught.value.remedy
        assert await driver.leftovers() == frozenset()

    async def test_an_id_that_is_a_path(self, driver: WatchedDriver) -> None:
        for vm_id in ("../x", "/etc", "a/b", ".."):
            with pytest.raises(AetheriumError):
                await driver.delete(vm_id, None)
