"""``engine.vms``: everything one does with VMs and the commands in them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from aetherium.core.commands import Commands, Input, check_key, fed
from aetherium.core.deadline import deadline
from aetherium.core.guest import client as guest
from aetherium.core.guest.process import Process
from aetherium.core.guest.tunnel import Tunnel, open_tunnel
from aetherium.core.lifecycle import Lifecycle
from aetherium.core.placement import Drivers
from aetherium.core.recovery import Reaped, Recovery
from aetherium.model.command import Command, Exec, ExecResult, ExitStatus, Output
from aetherium.model.errors import AetheriumError, Conflict
from aetherium.model.states import ALIVE
from aetherium.model.vm import VM, VMConfig, VMHealth, VMState, VMStats
from aetherium.ports.store import StateStore, VMFilter

GUEST_TIMEOUT_S = 30.0
MAX_OUTPUT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VMList:
    """Some VMs in order of creation; ``next`` asks for those that follow, None at the end."""

    items: tuple[VM, ...]
    next: str | None


class VMs:
    """Creates, finds, runs and ends VMs.

    Every ``vm`` argument is an id or a name. Methods raise ``AetheriumError`` subclasses: NotFound for an unknown VM,
    Conflict for one in the wrong state, GuestUnreachable when its agent does not answer, DeadlineExceeded after
    ``timeout_s``. Cancelling an await undoes what it began.
    """

    def __init__(
        self, store: StateStore, drivers: Drivers, lifecycle: Lifecycle, commands: Commands, recovery: Recovery
    ) -> None:
        self._store = store
        self._drivers = drivers
        self._lifecycle = lifecycle
        self._commands = commands
        self._recovery = recovery

    async def create(
        self, config: VMConfig | None = None, *, start: bool = True, key: str | None = None, timeout_s: float = 120
    ) -> VM:
        """Create a VM and, unless ``start`` is false, start it; return it when its agent answers.

        ``key`` makes the call idempotent: the same key returns the same VM. AlreadyExists when the id or name is taken;
        DriverUnavailable when nothing here gives the isolation asked for; ResourceExhausted. A create that fails or is
        cancelled leaves nothing.
        """
        return await self._lifecycle.create(config or VMConfig(), start=start, key=key, timeout_s=timeout_s)

    async def start(self, vm: str, *, timeout_s: float = 60) -> VM:
        """Start a VM that is created, stopped or failed; its files are as they were. Harmless when it runs."""
        return await self._lifecycle.start(await self._id(vm), timeout_s=timeout_s)

    async def stop(self, vm: str, *, force: bool = False, grace_s: float = 10, timeout_s: float = 60) -> VM:
        """Stop a VM: its processes get SIGTERM and ``grace_s`` seconds, then SIGKILL; with ``force`` SIGKILL at once.

        Its files stay. Harmless when it does not run.
        """
        return await self._lifecycle.stop(await self._id(vm), force=force, grace_s=grace_s, timeout_s=timeout_s)

    async def pause(self, vm: str, *, timeout_s: float = 30) -> VM:
        """Stop the VM's processors; its memory stays. Unsupported where the driver cannot."""
        return await self._lifecycle.pause(await self._id(vm), timeout_s=timeout_s)

    async def resume(self, vm: str, *, timeout_s: float = 30) -> VM:
        """Let a paused VM go on."""
        return await self._lifecycle.resume(await self._id(vm), timeout_s=timeout_s)

    async def delete(self, vm: str, *, timeout_s: float = 60) -> None:
        """End a VM at once if it runs, and forget it with its files. NotFound when there is none."""
        await self._lifecycle.delete(await self._id(vm), timeout_s=timeout_s)

    async def get(self, vm: str) -> VM:
        """Return a VM as it is now: one that ended by itself is seen as ended."""
        record = await self._store.get_vm(vm)
        if record.vm.state in ALIVE or record.pending is not None:
            try:
                async with deadline(1, "looking at the VM"):
                    settled = await self._recovery.settle_by_id(record.vm.id, timeout_s=0)
            except AetheriumError:
                return record.vm  # somebody works on it right now: this is how it was last seen
            if settled is None:
                return (await self._store.get_vm(vm)).vm  # raises NotFound with its remedy
            record = settled
        return record.vm

    async def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        states: Collection[VMState] = (),
        driver: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> VMList:
        """Return VMs with all these labels, in any of these states (none: all), oldest first, ``limit`` at a time."""
        where = VMFilter(states=frozenset(states), labels=labels or {}, driver=driver)
        page = await self._store.list_vms(where, limit=limit, after=after)
        return VMList(tuple(record.vm for record in page.items), page.next)

    async def exec(
        self,
        vm: str,
        command: Command,
        *,
        stdin: Input | None = None,
        key: str | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> ExecResult:
        """Run a command to its end and return its output and exit code, whatever that is.

        ``stdin`` is bytes or an async iterable of them; without it the command reads nothing. ``key`` makes the call
        idempotent: the same key finds the same command, running or ended. Output beyond ``max_output_bytes`` per
        channel is dropped and ``truncated`` set. Cancelling kills the command. CommandNotFound, CommandNotExecutable
        and InvalidArgument when it cannot be started.
        """
        return await self._commands.exec(vm, command, stdin=stdin, key=key, max_output_bytes=max_output_bytes)

    async def stream(
        self, vm: str, command: Command, *, stdin: Input | None = None, key: str | None = None
    ) -> AsyncGenerator[Output | ExitStatus, None]:
        """Run a command and yield its output as it comes, then its ExitStatus. Leaving early kills the command.

        A reader that falls behind slows the command down; memory stays bounded.
        """
        async with self._commands.process(vm, command, stdin=stdin is not None, key=key) as process:
            async with fed(process, stdin):
                while not isinstance(item := await process.read(), ExitStatus):
                    yield item
            yield item

    def process(
        self, vm: str, command: Command, *, stdin: bool = True, key: str | None = None
    ) -> AbstractAsyncContextManager[Process]:
        """Run a command and hold its streams: read, write, resize its terminal, signal it. Leaving early kills it."""
        return self._commands.process(vm, command, stdin=stdin, key=key)

    async def spawn(self, vm: str, command: Command, *, key: str | None = None) -> Exec:
        """Start a command in the background and return it; it goes on without us. ``key`` becomes its id."""
        async with self._commands.process(vm, command, stdin=False, key=key, background=True) as process:
            exec_id = process.id
        return next(item for item in await self.execs(vm) if item.id == exec_id)

    async def execs(self, vm: str) -> tuple[Exec, ...]:
        """Return the commands that run in a VM and the last ones that ended, oldest first."""
        link = await self._commands.link(vm)
        async with deadline(GUEST_TIMEOUT_S, "listing commands"):
            return tuple(await guest.list_execs(link.connection))

    def attach(
        self, vm: str, exec_id: str, *, stdout_offset: int = 0, stderr_offset: int = 0, stdin: bool = False
    ) -> AbstractAsyncContextManager[Process]:
        """Attach to a command and read its output from byte offsets (-1: from now on). Leaving does not end it.

        ``Process.lost`` says how many of the bytes asked for are no longer kept.
        """
        return self._commands.attach(vm, exec_id, stdout=stdout_offset, stderr=stderr_offset, stdin=stdin)

    async def signal(self, vm: str, exec_id: str, number: int) -> None:
        """Send a signal to a command's process group. NotFound, Conflict when it has ended."""
        link = await self._commands.link(vm)
        async with deadline(GUEST_TIMEOUT_S, "sending the signal"):
            await guest.signal_exec(link.connection, check_key(exec_id), number)

    async def ports(self, vm: str) -> tuple[int, ...]:
        """Return the TCP ports on which something in the VM listens."""
        link = await self._commands.link(vm)
        async with deadline(GUEST_TIMEOUT_S, "listing ports"):
            return await guest.listening_ports(link.connection)

    @asynccontextmanager
    async def connect(self, vm: str, port: int, *, host: str = "127.0.0.1") -> AsyncIterator[Tunnel]:
        """Open a TCP connection to a port inside the VM. Unavailable when nothing listens there."""
        link = await self._commands.link(vm)
        async with open_tunnel(link.connection, port, host) as tunnel:
            yield tunnel

    async def stats(self, vm: str) -> VMStats:
        """Return what a VM uses. Conflict when it does not run."""
        link = await self._commands.link(vm)
        async with deadline(GUEST_TIMEOUT_S, "reading statistics"):
            seen = await guest.metrics(link.connection)
        record = await self._store.get_vm(link.vm.id)
        if record.handle is None:
            raise Conflict(f"VM {record.vm.id} is {record.vm.state.value}")
        driver = await self._drivers.get(record.vm.driver)
        usage = await driver.usage(record.vm, record.handle)
        return VMStats(
            vm_id=record.vm.id,
            processes=seen.processes,
            cpu_s=usage.cpu_s if usage.cpu_s is not None else seen.cpu_s,
            memory_bytes=usage.memory_bytes if usage.memory_bytes is not None else seen.memory_bytes,
            memory_limit_bytes=usage.memory_limit_bytes,
            disk_bytes=usage.disk_bytes or 0,
            disk_free_bytes=seen.disk_free_bytes,
            uptime_s=seen.uptime_s,
            execs_running=seen.execs_running,
            connections=seen.connections,
        )

    async def health(self, vm: str, *, timeout_s: float = 5) -> VMHealth:
        """Say whether a VM answers. Only NotFound is raised; everything else is the answer."""
        found = await self.get(vm)
        if found.state is not VMState.RUNNING:
            reason = found.stop_reason.rule if found.stop_reason is not None else found.state.value
            return VMHealth(found.id, found.state, is_healthy=False, reason=reason)
        try:
            async with deadline(timeout_s, "the agent's answer"):
                link = await self._commands.link(found.id)
                began = time.perf_counter()
                await link.connection.ping()
        except AetheriumError as error:
            return VMHealth(found.id, found.state, is_healthy=False, reason=error.message)
        return VMHealth(found.id, found.state, True, "the agent answers", time.perf_counter() - began)

    async def reap(self, *, dry_run: bool = False) -> tuple[Reaped, ...]:
        """End and remove what VMs left that nobody tracks; with ``dry_run`` only say what."""
        return tuple(await self._recovery.reap(dry_run=dry_run))

    async def _id(self, vm: str) -> str:
        return (await self._store.get_vm(vm)).vm.id
