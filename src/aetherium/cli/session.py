"""One verb's work: the engine opened, signals heard, everything closed again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aetherium.app.open import open_
from aetherium.cli.errors import guarded
from aetherium.cli.interrupts import Interrupts
from aetherium.cli.options import Options
from aetherium.core.engine import Engine


@dataclass(frozen=True, slots=True)
class Session:
    """What a verb works with."""

    engine: Engine
    options: Options
    interrupts: Interrupts


Body = Callable[[Session], Awaitable[int]]


def run(options: Options, body: Body, *, recover: bool = False) -> int:
    """Open the engine, do the work, and return the exit code.

    ``recover`` settles every VM first; verbs that speak of one VM leave it out, because the engine settles a VM that it
    is asked for.
    """
    return guarded(lambda: asyncio.run(_work(options, body, recover)), json=options.json, verbose=options.verbose)


def _wants_log(options: Options) -> bool:
    """Say whether the engine's log lines are to be seen; else what matters in them comes as errors."""
    if options.verbose or "AETHERIUM_LOG_LEVEL" in os.environ:
        return True
    logging.getLogger("aetherium").addHandler(logging.NullHandler())
    return False


async def _work(options: Options, body: Body, recover: bool) -> int:
    interrupts = Interrupts()
    with interrupts.listening():
        async with open_(
            options.config,
            state_directory=options.state_dir,
            driver=options.driver,
            isolation=options.isolation,
            recover=recover,
            reap=False,  # it looks at every process of the host: 'vm reap' does it when asked
            log=_wants_log(options),
        ) as engine:
            return await body(Session(engine, options, interrupts))
    raise AssertionError("a session ends with an exit code or an error")
