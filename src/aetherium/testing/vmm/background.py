"""Commands that go on without us."""

from __future__ import annotations

import signal

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Channel, Command, ExecState, ExitStatus, Output
from aetherium.model.errors import Conflict, NotFound
from aetherium.model.vm import VM
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm.execs import nothing_runs


class BackgroundChecks(Bench):
    """Spawn, list, attach, signal."""

    async def test_spawned_command_is_listed(self, engine: Engine, vm: VM) -> None:
        spawned = await engine.vms.spawn(vm.id, Command.script("echo hi; exec sleep 600"), key="mine")
        assert (spawned.id, spawned.vm_id, spawned.state) == ("mine", vm.id, ExecState.RUNNING)
        assert (spawned.background, spawned.exit_code) == (True, None)
        assert spawned.argv == ("sh", "-c", "echo hi; exec sleep 600")
        await until_printed(engine, vm, "mine", 3)
        await engine.vms.signal(vm.id, "mine", signal.SIGTERM)
        await nothing_runs(engine, vm)
        (ended,) = [item for item in await engine.vms.execs(vm.id) if item.id == "mine"]
        assert (ended.state, ended.exit_code, ended.signal) == (ExecState.EXITED, 143, 15)
        assert ended.stdout_bytes == 3

    async def test_spawning_twice_with_a_key_starts_once(self, engine: Engine, vm: VM) -> None:
        first = await engine.vms.spawn(vm.id, Command.script("echo x >> runs; sleep 600"), key="once")
        second = await engine.vms.spawn(vm.id, Command.script("echo x >> runs; sleep 600"), key="once")
        assert first.pid == second.pid
        assert len(await engine.vms.execs(vm.id)) == 1

    async def test_attach_from_an_offset_gets_the_rest(self, engine: Engine, vm: VM) -> None:
        await engine.vms.spawn(vm.id, Command.script("printf 0123456789; printf abc >&2; exit 7"), key="job")
        await nothing_runs(engine, vm)
        async with engine.vms.attach(vm.id, "job", stdout_offset=4, stderr_offset=1) as process:
            got = {Channel.STDOUT: b"", Channel.STDERR: b""}
            while not isinstance(item := await within(10, process.read()), ExitStatus):
                got[item.channel] += item.data
            assert got == {Channel.STDOUT: b"456789", Channel.STDERR: b"bc"}
            assert process.lost == {Channel.STDOUT: 0, Channel.STDERR: 0}
            assert item.exit_code == 7

    async def test_attach_at_the_end_waits_for_news(self, engine: Engine, vm: VM) -> None:
        script = "echo old; until [ -e go ]; do sleep 0.01; done; echo new"
        await engine.vms.spawn(vm.id, Command.script(script), key="job")
        await until_printed(engine, vm, "job", 4)
        async with engine.vms.attach(vm.id, "job", stdout_offset=-1) as process:
            await engine.vms.exec(vm.id, Command("touch", ["go"]))
            assert await within(10, process.read()) == Output(Channel.STDOUT, b"new\n", 4)

    async def test_two_attach_and_both_get_everything(self, engine: Engine, vm: VM) -> None:
        script = "until [ -e go ]; do sleep 0.01; done; head -c 100000 /dev/zero"
        await engine.vms.spawn(vm.id, Command.script(script), key="job")
        async with engine.vms.attach(vm.id, "job") as one, engine.vms.attach(vm.id, "job") as other:
            await engine.vms.exec(vm.id, Command("touch", ["go"]))
            assert (await within(10, one.wait())).stdout_bytes == 100_000
            assert (await within(10, other.wait())).stdout_bytes == 100_000
            assert one.offsets[Channel.STDOUT] == other.offsets[Channel.STDOUT] == 100_000

    async def test_bytes_that_are_gone_are_reported(self, engine: Engine, vm: VM) -> None:
        command = Command("sh", ["-c", "head -c 100000 /dev/zero; echo end"], ring_bytes=8192)
        await engine.vms.spawn(vm.id, command, key="job")
        await nothing_runs(engine, vm)
        (ended,) = await engine.vms.execs(vm.id)
        assert (ended.stdout_bytes, ended.stdout_start) == (100_004, 100_004 - 8192)
        async with engine.vms.attach(vm.id, "job") as process:
            assert process.lost[Channel.STDOUT] == ended.stdout_start
            status = await within(10, process.wait())
            assert status.stdout_bytes == 100_004
            assert process.offsets[Channel.STDOUT] == 100_004

    async def test_leaving_an_attached_command_does_not_end_it(self, engine: Engine, vm: VM) -> None:
        await engine.vms.spawn(vm.id, Command.script("echo x; sleep 600"), key="job")
        async with engine.vms.attach(vm.id, "job") as process:
            await within(10, process.read())
        (job,) = await engine.vms.execs(vm.id)
        assert job.state is ExecState.RUNNING

    async def test_what_cannot_be_signalled_or_attached(self, engine: Engine, vm: VM) -> None:
        await engine.vms.exec(vm.id, Command("true"), key="ended")
        with pytest.raises(Conflict):
            await engine.vms.signal(vm.id, "ended", signal.SIGTERM)
        with pytest.raises(NotFound):
            await engine.vms.signal(vm.id, "never", signal.SIGTERM)
        with pytest.raises(NotFound):
            async with engine.vms.attach(vm.id, "never"):
                raise AssertionError("attached to nothing")

    async def test_a_signal_reaches_the_whole_group(self, engine: Engine, vm: VM) -> None:
        child = "trap 'echo child; exit' USR1; echo ready; while :; do sleep 0.01; done"
        script = f'trap : USR1; sh -c "{child}" & wait; wait'
        async with engine.vms.process(vm.id, Command.script(script)) as process:
            assert await within(10, process.read()) == Output(Channel.STDOUT, b"ready\n", 0)
            await process.signal(signal.SIGUSR1)
            while not isinstance(item := await within(10, process.read()), ExitStatus):
                if item.channel is Channel.STDOUT:  # a shell may say on stderr that its sleep was ended
                    assert item.data == b"child\n"
            assert item.stdout_bytes == 12


async def until_printed(engine: Engine, vm: VM, exec_id: str, count: int) -> None:
    """Wait until a command has printed so many bytes."""
    async with engine.vms.attach(vm.id, exec_id) as process:
        while process.offsets[Channel.STDOUT] < count:
            assert isinstance(await within(10, process.read()), Output)
