"""Running commands to their end."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command, Rlimit
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import VM, VMConfig
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm.exec_table import CASES, REFUSALS


class ExecChecks(Bench):
    """Commands in the foreground."""

    @pytest.mark.parametrize("name", CASES)
    async def test_command(self, engine: Engine, name: str) -> None:
        case = CASES[name]
        vm = await engine.vms.create(VMConfig(env=case.vm_env))
        result = await within(30, engine.vms.exec(vm.id, case.command, stdin=case.stdin))
        assert (result.stdout_bytes, result.stderr_bytes) == (case.stdout, case.stderr)
        assert (result.exit_code, result.signal) == (case.exit_code, case.signal)
        assert (result.timed_out, result.truncated) == (False, False)

    @pytest.mark.parametrize("name", REFUSALS)
    async def test_refused_command(self, engine: Engine, vm: VM, name: str) -> None:
        refusal = REFUSALS[name]
        await engine.vms.exec(vm.id, Command.script(refusal.prepare))
        with pytest.raises(refusal.error) as caught:
            await within(10, engine.vms.exec(vm.id, refusal.command))
        assert type(caught.value) is refusal.error
        assert (await engine.vms.exec(vm.id, Command("echo", ["on"]))).stdout == "on\n"

    async def test_ten_megabytes_of_output(self, engine: Engine, vm: VM) -> None:
        made = "head -c 10000000 /dev/urandom > blob && sha256sum blob | cut -c1-64 >&2 && cat blob"
        result = await within(30, engine.vms.exec(vm.id, Command.script(made)))
        assert len(result.stdout_bytes) == 10_000_000
        assert hashlib.sha256(result.stdout_bytes).hexdigest() == result.stderr.strip()

    async def test_output_beyond_the_limit_is_dropped_and_said_so(self, engine: Engine, vm: VM) -> None:
        command = Command.script("head -c 300000 /dev/zero; echo end >&2")
        result = await engine.vms.exec(vm.id, command, max_output_bytes=100_000)
        assert (len(result.stdout_bytes), result.stderr, result.truncated) == (100_000, "end\n", True)
        assert result.exit_code == 0

    async def test_fifty_at_once_each_with_its_own_output(self, engine: Engine, vm: VM) -> None:
        script = 'n=0; while [ $n -lt 20 ]; do echo "$1"; n=$((n+1)); done; cat'
        results = await within(
            30,
            asyncio.gather(
                *(
                    engine.vms.exec(vm.id, Command("sh", ["-c", script, "sh", f"out-{n}"]), stdin=f"in-{n}".encode())
                    for n in range(50)
                )
            ),
        )
        assert [result.stdout for result in results] == [f"out-{n}\n" * 20 + f"in-{n}" for n in range(50)]

    async def test_input_in_pieces(self, engine: Engine, vm: VM) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for n in range(100):
                yield f"{n}\n".encode()

        result = await engine.vms.exec(vm.id, Command("cat"), stdin=pieces())
        assert result.stdout == "".join(f"{n}\n" for n in range(100))

    async def test_failing_input_kills_the_command(self, engine: Engine, vm: VM) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"
            raise RuntimeError("no more")

        with pytest.raises(RuntimeError, match="no more"):
            await within(10, engine.vms.exec(vm.id, Command("cat"), stdin=pieces()))
        await nothing_runs(engine, vm)

    async def test_timeout_kills_the_whole_group(self, engine: Engine, vm: VM) -> None:
        began = time.monotonic()
        nap = f"sleep {secrets.randbelow(10**6) + 10**6}"  # where nothing isolates, others sleep too
        command = Command("sh", ["-c", f"{nap} & echo begun; {nap}"], timeout_s=0.3)
        result = await within(10, engine.vms.exec(vm.id, command))
        assert (result.timed_out, result.exit_code, result.stdout) == (True, 124, "begun\n")
        assert 0.25 < time.monotonic() - began < 5
        assert await processes_named(engine, vm, nap) == 0

    async def test_grandchild_that_holds_stdout_does_not_hang(self, engine: Engine, vm: VM) -> None:
        result = await within(10, engine.vms.exec(vm.id, Command.script("sleep 50 & echo done")))
        assert (result.stdout, result.exit_code) == ("done\n", 0)

    async def test_cancelling_kills_the_command(self, engine: Engine, vm: VM) -> None:
        task = asyncio.create_task(engine.vms.exec(vm.id, Command.script("echo > begun; sleep 600")))
        await until_file(engine, vm, "begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nothing_runs(engine, vm)

    async def test_key_makes_it_idempotent(self, engine: Engine, vm: VM) -> None:
        count = Command.script("echo run >> runs; cat runs")
        first = await engine.vms.exec(vm.id, count, key="once")
        second = await engine.vms.exec(vm.id, count, key="once")
        assert (first.stdout, second.stdout) == ("run\n", "run\n")
        assert (await engine.vms.exec(vm.id, Command("cat", ["runs"]))).stdout == "run\n"
        with pytest.raises(InvalidArgument):
            await engine.vms.exec(vm.id, count, key="no spaces")

    async def test_rlimits_hold(self, engine: Engine, vm: VM) -> None:
        command = Command("sh", ["-c", "ulimit -n"], rlimits={"nofile": Rlimit(64, 64)})
        assert (await engine.vms.exec(vm.id, command)).stdout == "64\n"

    async def test_how_long_it_took(self, engine: Engine, vm: VM) -> None:
        result = await engine.vms.exec(vm.id, Command("sleep", ["0.2"]))
        assert 0.2 <= result.duration_s < 5
        assert abs((result.started_at - vm.created_at).total_seconds()) < 60


async def nothing_runs(engine: Engine, vm: VM) -> None:
    """Wait until no command runs in a VM."""
    async with asyncio.timeout(10):
        for command in await engine.vms.execs(vm.id):
            async with engine.vms.attach(vm.id, command.id) as process:
                await process.wait()


async def until_file(engine: Engine, vm: VM, path: str) -> None:
    """Wait until a command has made a file."""
    script = f"until [ -e {path} ]; do sleep 0.01; done"
    assert (await within(10, engine.vms.exec(vm.id, Command.script(script)))).exit_code == 0


async def processes_named(engine: Engine, vm: VM, words: str) -> int:
    """Count the processes of a VM whose command line is ``words``."""
    script = 'for f in /proc/[0-9]*/cmdline; do tr "\\000" " " 2>/dev/null < $f; echo; done'
    lines = (await engine.vms.exec(vm.id, Command.script(script))).stdout.splitlines()
    return sum(line.strip() == words for line in lines)
