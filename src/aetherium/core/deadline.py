"""A caller's limit on a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aetherium.model.errors import DeadlineExceeded


@asynccontextmanager
async def deadline(timeout_s: float | None, what: str) -> AsyncIterator[None]:
    """Cancel the body after ``timeout_s`` seconds (None: never) and raise DeadlineExceeded naming ``what``."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"{what} took longer than {timeout_s:g} s", remedy="allow more time") from error
