"""Output as it comes, and leaving before the end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from aetherium.core.engine import Engine
from aetherium.model.command import Channel, Command, ExitStatus, Output
from aetherium.model.vm import VM
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm.execs import nothing_runs


class StreamChecks(Bench):
    """Commands whose output is read while they run."""

    async def test_output_arrives_when_it_is_printed(self, engine: Engine, vm: VM) -> None:
        script = "echo first; read answer; echo $answer"
        async with engine.vms.process(vm.id, Command.script(script)) as process:
            first = await within(10, process.read())
            assert first == Output(Channel.STDOUT, b"first\n", 0)
            await process.write(b"second\n")
            second = await within(10, process.read())
            assert second == Output(Channel.STDOUT, b"second\n", 6)
            status = await within(10, process.read())
            assert isinstance(status, ExitStatus)
            assert (status.exit_code, status.stdout_bytes) == (0, 13)

    async def test_stream_ends_with_the_status(self, engine: Engine, vm: VM) -> None:
        items = [item async for item in engine.vms.stream(vm.id, Command.script("echo out; echo err >&2; exit 3"))]
        assert isinstance(items[-1], ExitStatus)
        assert items[-1].exit_code == 3
        assert {(item.channel, item.data) for item in items[:-1] if isinstance(item, Output)} == {
            (Channel.STDOUT, b"out\n"),
            (Channel.STDERR, b"err\n"),
        }

    async def test_leaving_early_kills_the_command(self, engine: Engine, vm: VM) -> None:
        async with aclosing(engine.vms.stream(vm.id, Command.script("echo begun; sleep 600"))) as items:
            async for item in items:
                assert isinstance(item, Output)
                break
        await nothing_runs(engine, vm)

    async def test_leaving_early_without_closing_kills_the_command_too(self, engine: Engine, vm: VM) -> None:
        async for item in engine.vms.stream(vm.id, Command.script("echo begun; sleep 600")):
            assert isinstance(item, Output)
            break
        await nothing_runs(engine, vm)

    async def test_leaving_early_while_feeding_kills_the_command(self, engine: Engine, vm: VM) -> None:
        stream = engine.vms.stream(vm.id, Command.script("echo begun; sleep 600"), stdin=b"x" * 1_000_000)
        async with aclosing(stream) as items:
            async for item in items:
                assert isinstance(item, Output)
                break
        await nothing_runs(engine, vm)

    async def test_a_slow_reader_stops_nobody_else(self, engine: Engine, vm: VM) -> None:
        endless = Command.script("while :; do echo 0123456789012345678901234567890123456789; done")
        async with engine.vms.process(vm.id, endless) as flood:
            assert isinstance(await within(10, flood.read()), Output)
            for n in range(20):
                result = await within(10, engine.vms.exec(vm.id, Command("echo", [str(n)])))
                assert result.stdout == f"{n}\n"
        await nothing_runs(engine, vm)

    async def test_a_reader_that_waits_loses_nothing(self, engine: Engine, vm: VM) -> None:
        command = Command.script("head -c 8000000 /dev/zero; echo end >&2")
        async with engine.vms.process(vm.id, command, stdin=False) as process:
            total = 0
            while not isinstance(item := await within(20, process.read()), ExitStatus):
                if total == 0:
                    await engine.vms.exec(vm.id, Command("sleep", ["0.2"]))  # meanwhile everything fills up
                if item.channel is Channel.STDOUT:
                    assert item.offset == total
                    total += len(item.data)
            assert (total, item.stdout_bytes) == (8_000_000, 8_000_000)

    async def test_many_streams_at_once_are_complete(self, engine: Engine, vm: VM) -> None:
        async def length(n: int) -> int:
            total = 0
            async for item in engine.vms.stream(vm.id, Command("head", ["-c", str(n), "/dev/zero"])):
                if isinstance(item, Output):
                    total += len(item.data)
            return total

        sizes = [200_000 + n for n in range(10)]
        assert await within(30, asyncio.gather(*map(length, sizes))) == sizes
