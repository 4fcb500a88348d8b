"""The open connections to agents, one per VM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aetherium.core.guest.connection import GuestConnection
from aetherium.core.placement import Drivers
from aetherium.model.errors import GuestUnreachable
from aetherium.model.vm import VM
from aetherium.ports.vmm import Handle

HELLO_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Link:
    """A connection and the VM it leads to, as it was when it was made."""

    vm: VM
    connection: GuestConnection


class Connections:
    """Opens connections when needed and keeps them. ``on_lost`` hears of a VM whose connection ended unasked."""

    def __init__(self, drivers: Drivers, *, on_lost: Callable[[str], None]) -> None:
        self._drivers = drivers
        self._on_lost = on_lost
        self._links: dict[str, Link] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._held: set[str] = set()

    def peek(self, vm_id: str) -> Link | None:
        """Return the open connection to a VM, if there is one and the VM is not paused."""
        link = self._links.get(vm_id)
        return link if link is not None and link.connection.is_open and vm_id not in self._held else None

    def hold(self, vm_id: str) -> None:
        """Lend nobody the connection to a VM that is paused; what uses it already waits for the VM to go on."""
        self._held.add(vm_id)

    def release(self, vm_id: str) -> None:
        """Undo ``hold``."""
        self._held.discard(vm_id)

    async def get(self, vm: VM, handle: Handle) -> Link:
        """Return a connection whose agent has said HELLO. Raises GuestUnreachable."""
        async with self._opening.setdefault(vm.id, asyncio.Lock()):
            return self.peek(vm.id) or await self._open(vm, handle)

    async def _open(self, vm: VM, handle: Handle) -> Link:
        driver = await self._drivers.get(vm.driver)
        connection = GuestConnection(vm.id, on_lost=partial(self._lost, vm.id))
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S) as limit:
                await driver.connect(vm, handle, lambda: connection)
                await connection.wait_ready()
        except BaseException as error:
            await connection.close()
            if isinstance(error, TimeoutError) and limit.expired():
                raise GuestUnreachable(
                    f"the agent in VM {vm.id} did not answer within {HELLO_TIMEOUT_S:g} s"
                ) from error
            raise
        link = self._links[vm.id] = Link(vm, connection)
        return link

    def _lost(self, vm_id: str) -> None:
        link = self._links.get(vm_id)
        if link is not None and not link.connection.is_open:
            del self._links[vm_id]
            self._on_lost(vm_id)

    async def drop(self, vm_id: str) -> None:
        """Close the connection to a VM; ``on_lost`` is not told."""
        self._opening.pop(vm_id, None)
        self._held.discard(vm_id)
        link = self._links.pop(vm_id, None)
        if link is not None:
            await link.connection.close()

    async def close(self) -> None:
        """Close every connection."""
        for vm_id in tuple(self._links):
            await self.drop(vm_id)
