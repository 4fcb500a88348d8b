"""Drivers, opened when first asked for and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from aetherium.app.registry import BUILT_IN, foreign
from aetherium.model.config import Config
from aetherium.model.errors import AetheriumError, DriverUnavailable, InvalidArgument
from aetherium.ports.vmm import VMOrchestrator


def load_provider(port: str, name: str) -> ModuleType:
    """Return the module of a provider. InvalidArgument for an unknown name, DriverUnavailable when it does not load."""
    target = BUILT_IN[port].get(name)
    try:
        if target is not None:
            return import_module(target)
        point = foreign(port).get(name)
        if point is not None:
            loaded = point.load()
            if isinstance(loaded, ModuleType):
                return loaded
            raise DriverUnavailable(f"the entry point of {port} provider {name!r} does not lead to a module")
    except ImportError as error:
        raise DriverUnavailable(
            f"{port} provider {name!r} cannot be loaded: {error}", remedy="install what it needs"
        ) from error
    known = sorted({*BUILT_IN[port], *foreign(port)})
    raise InvalidArgument(f"unknown {port} provider {name!r}", remedy=f"known: {', '.join(known)}")


def open_provider(
    port: str, name: str, options: object | None, *, state_dir: Path, **more: Any
) -> AbstractAsyncContextManager[Any]:
    """Return the context that opens a provider; ``options`` is a value of its ``Config`` type, None for defaults."""
    module = load_provider(port, name)
    context: AbstractAsyncContextManager[Any] = module.open_(
        module.Config() if options is None else options, state_dir=state_dir, **more
    )
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
        """Return the names of all drivers, built-in ones first."""
        return [*BUILT_IN["vmm"], *sorted(foreign("vmm"))]

    async def get(self, name: str) -> VMOrchestrator:
        """Return the opened driver. InvalidArgument for an unknown name, DriverUnavailable when it does not open."""
        if (driver := self._opened.get(name)) is not None:
            return driver
        async with self._opening:
            if name not in self._opened:
                self._opened[name] = await self._open(name)
            return self._opened[name]

    async def _open(self, name: str) -> VMOrchestrator:
        options = self._config.vmm.options.get(name)
        try:
            driver: VMOrchestrator = await self._stack.enter_async_context(
                open_provider("vmm", name, options, state_dir=self._state_dir)
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
