"""Commands with a terminal."""

from __future__ import annotations

from aetherium.core.engine import Engine
from aetherium.core.guest.process import Process
from aetherium.model.command import Channel, Command, ExitStatus, Output, TerminalSize
from aetherium.model.vm import VM
from aetherium.testing.vmm.bench import Bench, within

_SIZE = TerminalSize(rows=31, cols=117)


class TerminalChecks(Bench):
    """Size, line discipline, job control."""

    async def test_it_is_a_terminal(self, engine: Engine, vm: VM) -> None:
        script = "test -t 0 && test -t 1 && test -t 2 && echo yes; echo err >&2"
        result = await engine.vms.exec(vm.id, terminal(script))
        assert (result.stdout_bytes, result.stderr_bytes) == (b"yes\r\nerr\r\n", b"")

    async def test_without_it_is_none(self, engine: Engine, vm: VM) -> None:
        result = await engine.vms.exec(vm.id, Command.script("test -t 0 || test -t 1 || test -t 2 || echo none"))
        assert result.stdout == "none\n"

    async def test_size_and_resize(self, engine: Engine, vm: VM) -> None:
        script = "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done"
        async with engine.vms.process(vm.id, terminal(script)) as process:
            assert await read_until(process, b"ready\r\n") == b"31 117\r\nready\r\n"
            await process.resize(TerminalSize(rows=50, cols=200))
            assert await read_until(process, b"50 200\r\n") == b"50 200\r\n"

    async def test_interrupt_ends_the_job_in_the_foreground(self, engine: Engine, vm: VM) -> None:
        async with engine.vms.process(vm.id, terminal("echo ready; exec cat")) as process:
            await read_until(process, b"ready\r\n")
            await process.write(b"\x03")
            status = await within(10, process.wait())
            assert (status.signal, status.exit_code) == (2, 130)

    async def test_a_shell_survives_the_interrupt_of_its_job(self, engine: Engine, vm: VM) -> None:
        command = Command("sh", ["-i"], tty=_SIZE, env={"PS1": "> ", "ENV": "", "HISTFILE": "", "TERM": "dumb"})
        async with engine.vms.process(vm.id, command) as process:
            await read_until(process, b"> ")
            await process.write(b"sh -c 'echo up; sleep 600'\n")
            await read_until(process, b"\nup\r\n")
            await process.write(b"\x03")
            await read_until(process, b"> ")
            await process.write(b"echo still $((6*7))\n")
            await read_until(process, b"still 42\r\n")
            await process.write(b"exit 5\n")
            assert (await within(10, process.wait())).exit_code == 5

    async def test_end_of_input(self, engine: Engine, vm: VM) -> None:
        async with engine.vms.process(vm.id, terminal("stty -echo; echo ready; exec cat")) as process:
            await read_until(process, b"ready\r\n")
            await process.write(b"line\n")
            await read_until(process, b"line\r\n")
            process.close_stdin()
            status = await within(10, process.wait())
            assert status.exit_code == 0

    async def test_letting_go_of_the_terminal_is_no_hangup(self, engine: Engine, vm: VM) -> None:
        # Many programs close their descriptors some time before they exit.
        script = "exec 0<&- 1>&- 2>&-; sleep 0.2; echo back > /dev/tty; exit 7"
        result = await within(10, engine.vms.exec(vm.id, terminal(script)))
        assert (result.exit_code, result.signal, result.stdout_bytes) == (7, None, b"back\r\n")

    async def test_it_leads_a_session_with_this_terminal(self, engine: Engine, vm: VM) -> None:
        result = await engine.vms.exec(vm.id, terminal("echo hello > /dev/tty"))
        assert result.stdout_bytes == b"hello\r\n"


def terminal(script: str) -> Command:
    """Return a script in a terminal."""
    return Command("sh", ["-c", script], tty=_SIZE)


async def read_until(process: Process, wanted: bytes) -> bytes:
    """Read until this was printed."""
    got = b""
    while wanted not in got:
        item = await within(10, process.read())
        assert not isinstance(item, ExitStatus), f"it ended after {got!r}"
        assert isinstance(item, Output)
        assert item.channel is Channel.STDOUT
        got += item.data
    return got
