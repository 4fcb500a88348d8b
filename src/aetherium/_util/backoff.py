"""Growing pauses between tries."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(first_s: float, most_s: float, *, factor: float = 2.0, jitter: float = 0.2) -> Iterator[float]:
    """Yield pauses in seconds for ever: from ``first_s`` by ``factor`` up to ``most_s``, each varied by ``jitter``."""
    delay = first_s
    while True:
        yield delay * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 (no secret)
        delay = min(delay * factor, most_s)
