"""Says on a terminal what takes more than a second. In a pipe it says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aetherium.cli.channel import STDERR, is_terminal

if TYPE_CHECKING:
    from rich.status import Status

DELAY_S = 1.0


@asynccontextmanager
async def progress(words: str, *, delay_s: float = DELAY_S) -> AsyncIterator[None]:
    """Show ``words`` and a spinner on standard error from ``delay_s`` seconds on until the body ends."""
    if not is_terminal(STDERR):
        yield
        return
    spinner = asyncio.create_task(_spin(words, delay_s), name="progress")
    try:
        yield
    finally:
        spinner.cancel()
        with suppress(asyncio.CancelledError):
            await spinner


async def _spin(words: str, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    with _status(words):
        await asyncio.Event().wait()


def _status(words: str) -> Status:
    # Imported here: most steps are over before anybody would want to see them.
    from rich.console import Console

    return Console(stderr=True).status(words)
