"""Opening the engine from configuration."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aetherium.app.config import load, provider_options, state_dir
from aetherium.app.drivers import DriverPool, open_provider
from aetherium.app.logs import logging_to
from aetherium.app.registry import REGISTRY
from aetherium.core.engine import Engine, open_engine
from aetherium.model.config import Config
from aetherium.model.errors import AetheriumError, PermissionDenied, ResourceExhausted
from aetherium.model.vm import Isolation

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_(
    config: Config | Path | str | None = None,
    *,
    state_directory: Path | str | None = None,
    driver: str | None = None,
    isolation: Isolation | str | None = None,
    recover: bool = True,
    reap: bool = True,
    log: bool = False,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Engine]:
    """Open the engine in this process.

    ``config`` is a Config, a file's path, or None for the usual places. ``driver`` and ``isolation`` override what it
    says. ``recover`` settles at once every VM whose record may be out of date (else each when it is asked for);
    ``reap`` removes what VMs left that the state directory's own store does not know. ``log`` sends the engine's own
    log lines to the configured provider; standard output is the caller's, so ``stdout`` then means standard error.
    Without it they are Python's, under the logger ``aetherium``.

    Raises ConfigInvalid with every problem, PermissionDenied for a state directory that cannot be written.
    """
    environ = os.environ if environ is None else environ
    if not isinstance(config, Config):
        path = None if config is None else Path(config)
        config = load(path, environ=environ, registry=REGISTRY).config
    if driver is not None:
        config = replace(config, vmm=replace(config.vmm, provider=driver))
    if isolation is not None:
        config = replace(config, vmm=replace(config.vmm, isolation=Isolation(isolation)))
    directory = state_dir(None if state_directory is None else Path(state_directory), environ, os.getuid())
    prepare_state_directory(directory)
    async with AsyncExitStack() as stack:
        if log:
            sink = await stack.enter_async_context(
                open_provider("logging", config.logging.provider, _off_stdout(config), state_dir=directory)
            )
            await stack.enter_async_context(logging_to(sink, config.logging.level))
        store = await stack.enter_async_context(
            open_provider("storage", config.storage.provider, config, state_dir=directory)
        )
        bus = await stack.enter_async_context(
            open_provider("event_bus", config.event_bus.provider, config, state_dir=directory)
        )
        drivers = await stack.enter_async_context(DriverPool(config, directory))
        engine = await stack.enter_async_context(
            open_engine(store=store, bus=bus, drivers=drivers, vmm=config.vmm, recover=recover)
        )
        if reap and _is_the_directorys_store(config):
            await _reap(engine)
        yield engine


def _is_the_directorys_store(config: Config) -> bool:
    """Say whether the store is the one that lies in the state directory, as for everybody who uses that directory.

    Any other may know nothing of the VMs there: to it they would all be leftovers, and reaping would end them.
    """
    if config.storage.provider != "sqlite":
        return False
    options = provider_options(config, "storage", "sqlite", REGISTRY)
    return getattr(options, "path", None) is None


async def _reap(engine: Engine) -> None:
    try:
        await engine.vms.reap()
    except AetheriumError as error:
        _log.warning("leftovers not removed", extra={"error": error.message})


def _off_stdout(config: Config) -> Config:
    if config.logging.provider != "stdout":
        return config
    options = provider_options(config, "logging", "stdout", REGISTRY)
    assert options is not None
    return replace(config, logging=replace(config.logging, options={"stdout": replace(options, stream="stderr")}))


def prepare_state_directory(directory: Path) -> None:
    """Make the state directory, for its owner only. Raises PermissionDenied, ResourceExhausted."""
    remedy = "choose another with --state-dir or AETHERIUM_STATE_DIR"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except PermissionError as error:
        raise PermissionDenied(
            f"cannot make the state directory {directory}: {error.strerror}", remedy=remedy
        ) from error
    except OSError as error:
        raise ResourceExhausted(
            f"cannot make the state directory {directory}: {error.strerror}", remedy=remedy
        ) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionDenied(f"the state directory {directory} cannot be written", remedy=remedy)
