"""The driver: agents as child processes, remembered in a dict, failing where a test wants them to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aetherium._util.ids import new_id
from aetherium._util.procinfo import is_alive, this_process
from aetherium.drivers.vmm.memory import processes
from aetherium.drivers.vmm.memory.config import Config, FaultKind
from aetherium.drivers.vmm.memory.faults import Faults
from aetherium.drivers.vmm.memory.machine import Machine
from aetherium.model.errors import AetheriumError, GuestUnreachable
from aetherium.model.vm import VM, Isolation, Network
from aetherium.ports.vmm import Capabilities, Handle, Health, Observed, Presence, Probe, Started, Usage


class MemoryDriver:
    """The driver. Its VMs end when it is closed, or with this process."""

    name = "memory"
    capabilities = Capabilities(
        isolation=Isolation.NONE,
        can_pause=True,
        networks=frozenset(Network),
        durable=False,
    )

    def __init__(self, config: Config, directory: Path) -> None:
        self._faults = Faults(config.faults)
        self._all = directory
        self._own = directory / this_process().replace(":", "-")
        self._machines: dict[str, tuple[str, Machine]] = {}

    async def probe(self) -> Probe:
        """Start an agent and hear it answer."""
        async with self._faults.around("probe"):
            directory = self._own / new_id("probe")
            try:
                machine = self._start(directory, ())
                try:
                    await _hear(machine)
                finally:
                    await machine.kill()
            except (AetheriumError, OSError) as error:
                return Probe(Health.UNAVAILABLE, str(error), getattr(error, "remedy", ""))
            finally:
                shutil.rmtree(directory, ignore_errors=True)
            return Probe(Health.HEALTHY, "the agent answers")

    def _start(self, directory: Path, agent_args: tuple[str, ...]) -> Machine:
        (directory / "work").mkdir(mode=0o700, parents=True, exist_ok=True)
        return Machine.start(directory, agent_args)

    async def create(self, vm: VM) -> None:
        """Make the work directory."""
        async with self._faults.around("create"):
            (self._own / vm.id / "work").mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        """Start the agent; its socket listens before it runs."""
        async with self._faults.around("start") as failures:
            await self._end(vm.id)
            machine = self._start(self._own / vm.id, agent_args)
            handle = new_id("machine")
            self._machines[vm.id] = (handle, machine)
            if FaultKind.DIE in failures:
                await machine.kill()
            return Started(Handle(1, json.dumps({"machine": handle, "pid": machine.pid})))

    async def find(self, vm: VM) -> Handle | None:
        """Return the handle of a machine whose start was not written down."""
        async with self._faults.around("find"):
            found = self._machines.get(vm.id)
            if found is None or not found[1].is_alive:
                return None
            return Handle(1, json.dumps({"machine": found[0], "pid": found[1].pid}))

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        """Look at the agent's process."""
        async with self._faults.around("inspect"):
            machine = self._machine(vm.id, handle)
            if machine is None or not machine.is_alive:
                return Observed(Presence.GONE, "its process ended")
            return Observed(Presence.PAUSED if processes.is_stopped(machine.pid) else Presence.RUNNING)

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        """Connect to the agent's socket."""
        async with self._faults.around("connect") as failures:
            machine = self._machine(vm.id, handle)
            if machine is None or not machine.is_alive:
                raise GuestUnreachable(f"VM {vm.id} does not run")
            transport = await machine.connect(protocol)
            if FaultKind.DROP in failures:
                assert isinstance(transport, asyncio.Transport)
                transport.abort()
        return transport

    async def wait(self, vm: VM, handle: Handle) -> None:
        """Wait for the agent's end."""
        async with self._faults.around("wait"):
            machine = self._machine(vm.id, handle)
            if machine is not None:
                await asyncio.shield(machine.ended)

    async def stop(self, vm: VM, handle: Handle) -> None:
        """Kill the agent and what it started."""
        async with self._faults.around("stop"):
            if self._machine(vm.id, handle) is not None:
                await self._end(vm.id)

    async def pause(self, vm: VM, handle: Handle) -> None:
        """Stop every process of the machine."""
        async with self._faults.around("pause"):
            processes.freeze(self._running(vm.id, handle).pid)

    async def resume(self, vm: VM, handle: Handle) -> None:
        """Let every process of the machine go on."""
        async with self._faults.around("resume"):
            processes.thaw(self._running(vm.id, handle).pid)

    async def usage(self, vm: VM, handle: Handle) -> Usage:
        """Return the size of the work directory; nothing else is accounted for."""
        async with self._faults.around("usage"):
            return Usage(disk_bytes=await asyncio.to_thread(_size, self._own / vm.id / "work"))

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        """Kill the agent and remove its directory, also one that a dead process left."""
        async with self._faults.around("delete"):
            await self._end(vm_id)
            for directory in self._homes():
                processes.kill_marked(f"AETHERIUM_MEMORY_VM={directory / vm_id}")
                await asyncio.to_thread(shutil.rmtree, directory / vm_id, ignore_errors=True)
                with suppress(OSError):
                    directory.rmdir()

    async def leftovers(self) -> frozenset[str]:
        """Return what this driver has, and what dead processes left."""
        async with self._faults.around("leftovers"):
            return frozenset(entry.name for directory in self._homes() for entry in directory.iterdir())

    def console(self, vm_id: str) -> Path | None:
        """Return the file with what the agent printed."""
        return self._own / vm_id / "console.log"

    def _homes(self) -> list[Path]:
        """Return our directory and those of processes that are gone; what lives is not ours to touch."""
        if not self._all.is_dir():
            return []
        return [home for home in self._all.iterdir() if home == self._own or not is_alive(home.name.replace("-", ":"))]

    def _machine(self, vm_id: str, handle: Handle) -> Machine | None:
        found = self._machines.get(vm_id)
        return found[1] if found is not None and found[0] == json.loads(handle.data)["machine"] else None

    def _running(self, vm_id: str, handle: Handle) -> Machine:
        machine = self._machine(vm_id, handle)
        if machine is None or not machine.is_alive:
            raise GuestUnreachable(f"VM {vm_id} does not run")
        return machine

    async def _end(self, vm_id: str) -> None:
        found = self._machines.pop(vm_id, None)
        if found is not None:
            await found[1].kill()

    def close(self) -> None:
        """End every machine. Blocks for the milliseconds that takes, so that nothing can come between."""
        for _, machine in self._machines.values():
            machine.kill_now()
            machine.close()
        self._machines.clear()
        shutil.rmtree(self._own, ignore_errors=True)


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path) -> AsyncIterator[MemoryDriver]:
    """Open the driver; its VMs end with it."""
    driver = MemoryDriver(config, state_dir / "memory")
    try:
        yield driver
    finally:
        driver.close()


async def _hear(machine: Machine) -> None:
    """Wait for the agent's first byte."""
    heard = asyncio.get_running_loop().create_future()

    class Ear(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            if not heard.done():
                heard.set_result(None)

        def connection_lost(self, error: Exception | None) -> None:
            if not heard.done():
                heard.set_exception(GuestUnreachable("the agent ended before it spoke"))

    transport = await machine.connect(Ear)
    try:
        async with asyncio.timeout(10):
            await heard
    except TimeoutError as error:
        raise GuestUnreachable("the agent does not speak") from error
    finally:
        transport.close()


def _size(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
