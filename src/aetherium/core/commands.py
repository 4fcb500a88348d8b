"""Running commands in VMs that run."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aetherium._util.ids import new_id
from aetherium._util.tasks import task_group
from aetherium.core.connections import Connections, Link
from aetherium.core.deadline import deadline
from aetherium.core.guest.process import Process
from aetherium.core.recovery import Recovery
from aetherium.model.command import Channel, Command, ExecResult, ExitStatus
from aetherium.model.errors import CommandNotExecutable, CommandNotFound, Conflict, InvalidArgument
from aetherium.model.states import ALIVE
from aetherium.model.vm import VMState
from aetherium.ports.store import StateStore, VMRecord
from aetherium.protocol.frames import HOST_WINDOW

Input = bytes | AsyncIterable[bytes]
START_TIMEOUT_S: Final = 30.0
_MAX_ARGUMENT: Final = 128 * 1024 - 1
_KEY_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Commands:
    """Finds the way to a VM's agent and speaks to it about commands."""

    def __init__(self, store: StateStore, connections: Connections, recovery: Recovery) -> None:
        self._store = store
        self._connections = connections
        self._recovery = recovery

    async def link(self, vm_id: str) -> Link:
        """Return the connection to a VM by id or name. Raises NotFound, Conflict when it does not run."""
        return self._connections.peek(vm_id) or await self._connect(vm_id)

    async def _connect(self, vm_id: str) -> Link:
        record = await self._running(await self._store.get_vm(vm_id))
        if record.handle is None:
            raise Conflict(f"VM {record.vm.id} is being started")
        self._connections.release(record.vm.id)  # it may have been paused here and resumed by another process
        return self._connections.peek(record.vm.id) or await self._connections.get(record.vm, record.handle)

    async def _running(self, record: VMRecord) -> VMRecord:
        """Return the record of a VM that runs, as far as the store and the host know."""
        if record.vm.state in (VMState.STARTING, VMState.RUNNING) or record.pending is not None:
            settled = await self._recovery.settle_by_id(record.vm.id, timeout_s=START_TIMEOUT_S)
            if settled is not None:
                record = settled
        vm = record.vm
        if vm.state is VMState.PAUSED:
            raise Conflict(f"VM {vm.id} is paused", remedy=f"aetherium vm resume {vm.id}")
        if vm.state not in ALIVE:
            why = f": {vm.stop_reason.rule}" if vm.stop_reason is not None else ""
            raise Conflict(f"VM {vm.id} is {vm.state.value}{why}", remedy=f"aetherium vm start {vm.id}")
        return record

    @asynccontextmanager
    async def process(
        self, vm_id: str, command: Command, *, stdin: bool, key: str | None, background: bool = False
    ) -> AsyncIterator[Process]:
        """Start a command and hold its streams; see ``VMs.process``."""
        link = await self.link(vm_id)
        checked = _check(command, link.vm.env)
        exec_id = check_key(key) if key is not None else new_id("exec")
        try:
            async with deadline(START_TIMEOUT_S, "starting the command"):
                process = await Process.start(link.connection, exec_id, checked, stdin=stdin, background=background)
        except (CommandNotFound, CommandNotExecutable) as error:
            named = f"{command.program[:200]!r} in VM {link.vm.id}: {error.message}"
            raise type(error)(named, remedy=error.remedy) from error
        async with process:
            yield process

    async def exec(
        self, vm_id: str, command: Command, *, stdin: Input | None, key: str | None, max_output_bytes: int
    ) -> ExecResult:
        """Run a command to its end and collect its output; see ``VMs.exec``."""
        async with (
            self.process(vm_id, command, stdin=stdin is not None, key=key) as process,
            fed(process, stdin),
        ):
            kept = {Channel.STDOUT: bytearray(), Channel.STDERR: bytearray()}
            truncated = any(process.lost.values())
            while not isinstance(item := await process.read(), ExitStatus):
                buffer = kept[item.channel]
                room = max_output_bytes - len(buffer)
                truncated = truncated or room < len(item.data)
                buffer += item.data if room >= len(item.data) else item.data[:room]
        return ExecResult(
            exit_code=item.exit_code,
            stdout_bytes=bytes(kept[Channel.STDOUT]),
            stderr_bytes=bytes(kept[Channel.STDERR]),
            signal=item.signal,
            timed_out=item.timed_out,
            truncated=truncated,
            started_at=item.started_at,
            duration_s=item.duration_s,
        )

    @asynccontextmanager
    async def attach(
        self, vm_id: str, exec_id: str, *, stdout: int, stderr: int, stdin: bool
    ) -> AsyncIterator[Process]:
        """Attach to a command; see ``VMs.attach``."""
        link = await self.link(vm_id)
        async with deadline(START_TIMEOUT_S, "attaching to the command"):
            process = await Process.attach(
                link.connection, check_key(exec_id), stdout=stdout, stderr=stderr, stdin=stdin
            )
        async with process:
            yield process


@asynccontextmanager
async def fed(process: Process, stdin: Input | None) -> AsyncIterator[None]:
    """Feed a command its input while the body reads its output."""
    if stdin is None:
        yield
    elif isinstance(stdin, bytes) and len(stdin) <= HOST_WINDOW:
        await process.write(stdin)  # fits the window: it cannot wait for the command
        process.close_stdin()
        yield
    else:
        async with task_group() as tasks:
            feeding = tasks.create_task(_feed(process, stdin), name=f"stdin of {process.id}")
            yield
            feeding.cancel()


async def _feed(process: Process, stdin: Input) -> None:
    if isinstance(stdin, bytes):
        await process.write(stdin)
    else:
        async for chunk in stdin:
            await process.write(chunk)
    process.close_stdin()


def check_key(key: str) -> str:
    """Return a valid exec id. Raises InvalidArgument."""
    if not 1 <= len(key) <= 64 or not _KEY_CHARACTERS.issuperset(key):
        raise InvalidArgument(f"invalid exec id {key[:80]!r}", remedy="use 1 to 64 of A-Z a-z 0-9 . _ -")
    return key


def _check(command: Command, env: Mapping[str, str]) -> Command:
    for word in command.argv:
        size = len(word.encode("utf-8", "surrogateescape"))
        if size > _MAX_ARGUMENT:
            raise InvalidArgument(
                f"an argument of {size} bytes is too long: Linux allows {_MAX_ARGUMENT}",
                remedy="pass the data on stdin or in a file",
            )
    return replace(command, env={**env, **command.env}) if env else command
