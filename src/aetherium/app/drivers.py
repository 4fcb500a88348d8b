"""Drivers, opened when first asked for and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from aetherium.app.config import provider_options
from aetherium.app.registry import BUILT_IN, REGISTRY, module_of, names
from aetherium.model.config import Config
from aetherium.model.errors import AetheriumError, DriverUnavailable, InvalidArgument
from aetherium.ports.vmm import VMOrchestrator


def load_provider(section: str, name: str) -> ModuleType:
    """Return the module of a provider. InvalidArgument for an unknown name, DriverUnavailable when it does not load."""
    module = module_of(section, name)
    if module is None:
        raise InvalidArgument(f"unknown {section} provider {name!r}", remedy=f"known: {', '.join(names(section))}")
    try:
        return import_module(module)
    except ImportError as error:
        raise DriverUnavailable(
            f"{section} provider {name!r} cannot be loaded: {error}", remedy="install what it needs"
        ) from error


def open_provider(section: str, name: str, config: Config, *, state_dir: Path) -> AbstractAsyncContextManager[Any]:
    """Return the context that opens a provider as configured. Raises as ``load_provider`` does, and ConfigInvalid."""
    module = load_provider(section, name)
    options = provider_options(config, section, name, REGISTRY)
    context: AbstractAsyncContextManager[Any] = module.open_(options, state_dir=state_dir)
    return context


class DriverPool:
    """The VMM drivers of a configuration."""

    def __init__(self, config: Config, state_dir: Path) -> None:
        self._config = config
        self._state_dir = state_dir
        self._stack = AsyncExitStack()
        self._opened: dict[str, VMOrchestrator] = {}
        self._opening = asyncio.Lock()

    def names(self) -> Sequence[str]:
        """Return the drivers that ``auto`` chooses from: the built-in ones. Other people's are used when named."""
        return tuple(BUILT_IN["vmm"])

    async def get(self, name: str) -> VMOrchestrator:
        """Return the opened driver. InvalidArgument for an unknown name, DriverUnavailable when it does not open."""
        if (driver := self._opened.get(name)) is not None:
            return driver
        async with self._opening:
            if name not in self._opened:
                self._opened[name] = await self._open(name)
            return self._opened[name]

    async def _open(self, name: str) -> VMOrchestrator:
        try:
            driver: VMOrchestrator = await self._stack.enter_async_context(
                open_provider("vmm", name, self._config, state_dir=self._state_dir)
            )
        except (AetheriumError, asyncio.CancelledError):
            raise
        except Exception as error:  # other people's code: whatever it raises, this driver does not work
            raise DriverUnavailable(f"driver {name!r} does not open: {error}") from error
        return driver

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.clear()
        await self._stack.aclose()
