"""A command in a VM as if it ran here: its streams are ours, signals to us are signals to it, its end is our end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from aetherium._util.tasks import task_group
from aetherium.cli.argv import UsageError
from aetherium.cli.channel import STDERR, STDIN, STDOUT, is_terminal
from aetherium.cli.interrupts import Interrupts
from aetherium.cli.streams import Writer, chunks
from aetherium.core.guest.process import Process
from aetherium.core.vms import MAX_OUTPUT_BYTES
from aetherium.model.command import Channel, ExecResult, ExitStatus, Output, TerminalSize
from aetherium.model.errors import AetheriumError


class Sink(Protocol):
    """Takes a command's output."""

    async def put(self, output: Output) -> None:
        """Take some output; returns when there is room for more."""
        ...


class Live:
    """Writes output to our own standard output and standard error as it comes."""

    def __init__(self) -> None:
        self._writers = {Channel.STDOUT: Writer(STDOUT), Channel.STDERR: Writer(STDERR)}

    async def put(self, output: Output) -> None:
        """Write it."""
        await self._writers[output.channel].write(output.data)


class Collected:
    """Keeps output for one document at the end, the first 64 MiB of each channel."""

    def __init__(self) -> None:
        self._kept = {Channel.STDOUT: bytearray(), Channel.STDERR: bytearray()}
        self._truncated = False

    async def put(self, output: Output) -> None:
        """Keep it while there is room."""
        kept = self._kept[output.channel]
        room = MAX_OUTPUT_BYTES - len(kept)
        self._truncated = self._truncated or room < len(output.data)
        kept += output.data[:room]

    def result(self, status: ExitStatus) -> ExecResult:
        """Return the finished command with what was kept."""
        return ExecResult(
            exit_code=status.exit_code,
            stdout_bytes=bytes(self._kept[Channel.STDOUT]),
            stderr_bytes=bytes(self._kept[Channel.STDERR]),
            signal=status.signal,
            timed_out=status.timed_out,
            truncated=self._truncated,
            started_at=status.started_at,
            duration_s=status.duration_s,
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """How our streams are connected to the command."""

    stdin: bool = False
    tty: bool = False

    def check(self, *, json: bool) -> None:
        """Raise UsageError when our own streams do not allow it."""
        if self.tty and json:
            raise UsageError("a terminal and --json do not go together", "leave out -t or --json")
        if self.tty and self.stdin and not is_terminal(STDIN):
            raise UsageError("standard input is not a terminal", "leave out -t: -i alone connects a pipe or a file")

    def size(self) -> TerminalSize | None:
        """Return the size of the command's terminal, None without one."""
        from aetherium.cli.terminal import size_of

        return size_of(STDIN if is_terminal(STDIN) else STDOUT) if self.tty else None

    def env(self) -> dict[str, str]:
        """Return what a command with a terminal needs to know of it."""
        return {"TERM": os.environ.get("TERM", "xterm")} if self.tty else {}


async def carry(process: Process, connection: Connection, sink: Sink, interrupts: Interrupts) -> ExitStatus:
    """Connect our streams to a command until it ends. Raises BrokenPipeError when nobody reads our output."""
    async with AsyncExitStack() as stack:
        background = await stack.enter_async_context(_background())
        if connection.tty:
            _hand_over_terminal(process, connection, stack, background)
        else:
            stack.enter_context(interrupts.forwarding(lambda number: background.start(partial(process.signal, number))))
        if connection.stdin:
            background.start(partial(_feed, process))
        while not isinstance(item := await process.read(), ExitStatus):
            await sink.put(item)
        return item
    raise AssertionError("a command ends with a status or an error")


def _hand_over_terminal(
    process: Process, connection: Connection, stack: AsyncExitStack, background: _Background
) -> None:
    from aetherium.cli.terminal import on_resize, raw

    if not is_terminal(STDIN):
        return
    stack.enter_context(on_resize(STDIN, lambda size: background.start(partial(process.resize, size))))
    if connection.stdin:
        stack.enter_context(raw(STDIN))


async def _feed(process: Process) -> None:
    async for data in chunks(STDIN):
        await process.write(data)
    process.close_stdin()


class _Background:
    """Work beside the command: feeding it, signalling it. A failure means that the command has ended, which its
    output's end says better."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self.running: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._tasks.create_task(_quietly(work))
        self.running.add(task)
        task.add_done_callback(self.running.discard)


async def _quietly(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with suppress(AetheriumError):
        await work()


@asynccontextmanager
async def _background() -> AsyncIterator[_Background]:
    async with task_group() as tasks:
        background = _Background(tasks)
        try:
            yield background
        finally:
            for task in tuple(background.running):
                task.cancel()
