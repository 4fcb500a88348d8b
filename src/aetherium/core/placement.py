"""Choosing the driver for a VM: the strongest that works, and never one below the floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aetherium.model.errors import DriverUnavailable, InvalidArgument
from aetherium.model.vm import Isolation, VMConfig
from aetherium.ports.vmm import Probe, VMOrchestrator

AUTO = "auto"


class Drivers(Protocol):
    """The drivers there are; each is opened when first asked for."""

    def names(self) -> Sequence[str]:
        """Return the names of all drivers."""
        ...

    async def get(self, name: str) -> VMOrchestrator:
        """Return the opened driver. InvalidArgument for an unknown name, DriverUnavailable when it does not open."""
        ...


class Placement:
    """Picks a driver for a request. Probes are remembered for the life of the engine."""

    def __init__(self, drivers: Drivers, *, provider: str, floor: Isolation) -> None:
        self._drivers = drivers
        self._provider = provider
        self._floor = floor
        self._probes: dict[str, Probe] = {}

    async def choose(self, config: VMConfig) -> VMOrchestrator:
        """Return the driver for a request. Raises DriverUnavailable, InvalidArgument."""
        floor = max(config.isolation or self._floor, self._floor, key=lambda isolation: isolation.strength)
        name = config.driver or self._provider
        if name != AUTO:
            driver = await self._drivers.get(name)
            if not driver.capabilities.isolation.meets(floor):
                raise InvalidArgument(
                    f"driver {name} gives isolation {driver.capabilities.isolation.value!r},"
                    f" below the floor {floor.value!r}",
                    remedy="choose another driver, or lower --isolation / vmm.isolation if you mean it",
                )
            return driver
        return await self._strongest(floor)

    async def _strongest(self, floor: Isolation) -> VMOrchestrator:
        refused: list[str] = []
        candidates: list[VMOrchestrator] = []
        for name in self._drivers.names():
            try:
                driver = await self._drivers.get(name)
            except DriverUnavailable as error:
                refused.append(f"{name}: {error.message}")
                continue
            isolation = driver.capabilities.isolation
            if isolation is not Isolation.NONE and isolation.meets(floor):
                candidates.append(driver)
            else:
                refused.append(f"{name} gives {isolation.value!r}")
        candidates.sort(key=lambda driver: -driver.capabilities.isolation.strength)
        for driver in candidates:
            # The last resort is not probed: its own start says better why it fails.
            if driver is candidates[-1] or (await self.probe(driver)).is_healthy:
                return driver
            refused.append(f"{driver.name}: {self._probes[driver.name].reason}")
        raise DriverUnavailable(f"no driver here gives isolation {floor.value!r} or more ({'; '.join(refused)})")

    async def probe(self, driver: VMOrchestrator) -> Probe:
        """Return what the driver found by trying, trying only once."""
        if driver.name not in self._probes:
            self._probes[driver.name] = await driver.probe()
        return self._probes[driver.name]
