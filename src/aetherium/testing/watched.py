"""A driver between the engine and the driver under test: notes what passes, and can act before and after each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from aetherium.model.vm import VM
from aetherium.ports.vmm import Capabilities, Handle, Observed, Probe, Started, Usage, VMOrchestrator

Hook: TypeAlias = Callable[[str], None]
"""Hears of ``before METHOD`` and ``after METHOD``; what it raises, the engine gets."""


class WatchedDriver:
    """Passes every call on."""

    def __init__(self, driver: VMOrchestrator, seen: set[str]) -> None:
        self._driver = driver
        self._seen = seen
        self._hook: Hook | None = None
        self.calls: list[tuple[str, str]] = []
        """Method and VM id of every call that changed something."""

    def on_call(self, hook: Hook) -> None:
        """Let ``hook`` act around the calls of create, start, connect, stop and delete."""
        self._hook = hook

    def pass_through(self) -> None:
        """Forget the hook."""
        self._hook = None

    @property
    def name(self) -> str:
        return self._driver.name

    @property
    def capabilities(self) -> Capabilities:
        return self._driver.capabilities

    async def probe(self) -> Probe:
        return await self._driver.probe()

    async def create(self, vm: VM) -> None:
        self._before("create", vm.id)
        await self._driver.create(vm)
        self._after("create")

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        self._before("start", vm.id)
        started = await self._driver.start(vm, agent_args=agent_args)
        self._after("start")
        return started

    async def find(self, vm: VM) -> Handle | None:
        return await self._driver.find(vm)

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        return await self._driver.inspect(vm, handle)

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        self._before("connect", vm.id)
        transport = await self._driver.connect(vm, handle, protocol)
        try:
            self._after("connect")
        except BaseException:
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            raise
        return transport

    async def wait(self, vm: VM, handle: Handle) -> None:
        await self._driver.wait(vm, handle)

    async def stop(self, vm: VM, handle: Handle) -> None:
        self._before("stop", vm.id)
        await self._driver.stop(vm, handle)
        self._after("stop")

    async def pause(self, vm: VM, handle: Handle) -> None:
        await self._driver.pause(vm, handle)

    async def resume(self, vm: VM, handle: Handle) -> None:
        await self._driver.resume(vm, handle)

    async def usage(self, vm: VM, handle: Handle) -> Usage:
        return await self._driver.usage(vm, handle)

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        self._before("delete", vm_id)
        await self._driver.delete(vm_id, handle)
        self._after("delete")

    async def leftovers(self) -> frozenset[str]:
        return await self._driver.leftovers()

    def console(self, vm_id: str) -> Path | None:
        return self._driver.console(vm_id)

    def _before(self, method: str, vm_id: str) -> None:
        self._seen.add(vm_id)
        self.calls.append((method, vm_id))
        if self._hook is not None:
            self._hook(f"before {method}")

    def _after(self, method: str) -> None:
        if self._hook is not None:
            self._hook(f"after {method}")
