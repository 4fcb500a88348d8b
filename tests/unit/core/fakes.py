"""Drivers that are only a name, a strength and a probe: placement looks at nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aetherium.model.errors import DriverUnavailable, InvalidArgument
from aetherium.model.vm import Isolation
from aetherium.ports.vmm import Capabilities, Health, Probe, VMOrchestrator


class FakeDriver:
    def __init__(self, name: str, isolation: Isolation, *, healthy: bool = True) -> None:
        self.name = name
        self.capabilities = Capabilities(isolation=isolation)
        self.probes = 0
        self._healthy = healthy

    async def probe(self) -> Probe:
        self.probes += 1
        if self._healthy:
            return Probe(Health.HEALTHY, "works")
        return Probe(Health.UNAVAILABLE, f"{self.name} does not work", remedy="buy a computer")


class FakeDrivers:
    def __init__(self, *drivers: FakeDriver, broken: Sequence[str] = ()) -> None:
        self._drivers = {driver.name: driver for driver in drivers}
        self._broken = broken

    def names(self) -> Sequence[str]:
        return [*self._broken, *self._drivers]

    async def get(self, name: str) -> VMOrchestrator:
        if name in self._broken:
            raise DriverUnavailable(f"{name} does not open")
        if name not in self._drivers:
            raise InvalidArgument(f"unknown driver {name}")
        return cast("VMOrchestrator", self._drivers[name])
