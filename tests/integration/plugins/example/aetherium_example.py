"""Somebody else's driver, as small as one can be: the guest agent as a plain process, no isolation.

It stands on ``aetherium.ports`` and ``aetherium.model`` alone, like every driver.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aetherium._util.guest_binary import guest_agent
from aetherium.model.errors import GuestUnreachable
from aetherium.model.vm import VM, Isolation
from aetherium.ports.vmm import Capabilities, Handle, Health, Observed, Presence, Probe, Started, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the ``example`` driver."""

    greeting: str = "hello"
    """What the probe says."""


def _address(vm: VM) -> str:
    return f"\0aetherium-example-{os.getpid()}-{vm.id}"


class Example:
    """The driver."""

    name = "example"
    capabilities = Capabilities(isolation=Isolation.NONE, durable=False)

    def __init__(self, config: Config, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    async def probe(self) -> Probe:
        return Probe(Health.HEALTHY, self._config.greeting)

    async def create(self, vm: VM) -> None:
        (self._directory / vm.id).mkdir(parents=True, exist_ok=True)

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        directory = self._directory / vm.id
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(_address(vm))
            listener.listen()
            fd = str(listener.fileno())
            self._agents[vm.id] = subprocess.Popen(
                [guest_agent(), "serve", "--listen-fd", fd, "--workdir", directory, *agent_args],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
            )
        return Started(Handle(1, str(self._agents[vm.id].pid)))

    async def find(self, vm: VM) -> Handle | None:
        agent = self._agents.get(vm.id)
        return None if agent is None or agent.poll() is not None else Handle(1, str(agent.pid))

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        return Observed(Presence.RUNNING if await self.find(vm) == handle else Presence.GONE)

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        try:
            transport, _ = await asyncio.get_running_loop().create_unix_connection(protocol, _address(vm))
        except OSError as error:
            raise GuestUnreachable(str(error)) from error
        return transport

    async def wait(self, vm: VM, handle: Handle) -> None:
        if await self.find(vm) == handle:
            await asyncio.to_thread(self._agents[vm.id].wait)

    async def stop(self, vm: VM, handle: Handle) -> None:
        self._end(vm.id)

    async def pause(self, vm: VM, handle: Handle) -> None:
        raise AssertionError("can_pause is false")

    async def resume(self, vm: VM, handle: Handle) -> None:
        raise AssertionError("can_pause is false")

    async def usage(self, vm: VM, handle: Handle) -> Usage:
        return Usage()

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        self._end(vm_id)
        shutil.rmtree(self._directory / vm_id, ignore_errors=True)

    async def leftovers(self) -> frozenset[str]:
        return frozenset(self._agents)

    def console(self, vm_id: str) -> Path | None:
        return None

    def _end(self, vm_id: str) -> None:
        agent = self._agents.pop(vm_id, None)
        if agent is not None:
            agent.terminate()  # the agent then ends what it started
            agent.wait()

    def close(self) -> None:
        for vm_id in list(self._agents):
            self._end(vm_id)


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path) -> AsyncIterator[Example]:
    """Open the driver."""
    driver = Example(config, state_dir / "example")
    try:
        yield driver
    finally:
        driver.close()
