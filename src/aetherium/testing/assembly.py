"""Putting an engine together for a test, over the one driver that is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from aetherium.core.engine import Engine, open_engine
from aetherium.core.journal import Step
from aetherium.model.config import VMMConfig
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.ports.vmm import VMOrchestrator

Opener: TypeAlias = Callable[..., AbstractAsyncContextManager[Any]]
"""Called with ``state_dir=``, like every provider's ``open_`` once it has its ``Config``."""


@dataclass(frozen=True, slots=True)
class Openers:
    """How to open what an engine is made of: partials of ``open_`` with a ``Config``.

    They are pickled for the checks that need a process of their own to kill, so no lambdas. ``durable_store`` is one
    that outlives its process, None where there is none (those checks are skipped).
    """

    driver: Opener
    store: Opener
    bus: Opener
    durable_store: Opener | None = None


@dataclass(frozen=True, slots=True)
class OneDriver:
    """The drivers of an engine that has but one."""

    driver: VMOrchestrator

    def names(self) -> tuple[str, ...]:
        """Return its name."""
        return (self.driver.name,)

    async def get(self, name: str) -> VMOrchestrator:
        """Return it."""
        assert name == self.driver.name
        return self.driver


@asynccontextmanager
async def engine_over(
    driver: VMOrchestrator,
    store: StateStore,
    bus: EventBus,
    *,
    on_step: Callable[[Step], None] | None = None,
    recover: bool = True,
) -> AsyncIterator[Engine]:
    """Open an engine whose floor is as low as its only driver."""
    vmm = VMMConfig(provider=driver.name, isolation=driver.capabilities.isolation)
    async with open_engine(
        store=store, bus=bus, drivers=OneDriver(driver), vmm=vmm, on_step=on_step, recover=recover
    ) as engine:
        yield engine
