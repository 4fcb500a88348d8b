"""Failing on demand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aetherium.drivers.vmm.memory.config import Fault, FaultKind
from aetherium.model.errors import AetheriumError
from aetherium.protocol.codes import CLASS_BY_CODE


class Faults:
    """Counts the calls of each method and lets those fail that shall."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._calls: Counter[str] = Counter()

    @asynccontextmanager
    async def around(self, method: str) -> AsyncIterator[frozenset[FaultKind]]:
        """Wrap one call of ``method``; yield the kinds of failure that only its body can bring about."""
        self._calls[method] += 1
        now = [fault for fault in self._faults if fault.method == method and fault.call in (0, self._calls[method])]
        for fault in now:
            if not fault.after:
                await _fail(fault)
        yield frozenset(fault.kind for fault in now)
        for fault in now:
            if fault.after:
                await _fail(fault)


async def _fail(fault: Fault) -> None:
    if fault.kind is FaultKind.ERROR:
        raise CLASS_BY_CODE.get(fault.error, AetheriumError)(f"{fault.method} fails, as the test asked")
    if fault.kind is FaultKind.HANG:
        await asyncio.get_running_loop().create_future()
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.delay_s)
