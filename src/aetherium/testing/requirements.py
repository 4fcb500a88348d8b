"""What a test needs of its host: skipped at a desk, failed where it was promised.

``AETHERIUM_REQUIRE`` is a comma-separated list of names. CI sets it to what its runner has, so that "skipped
everywhere" cannot pass as green.
"""

from __future__ import annotations

import os

import pytest


def requires(name: str, *, unmet: str | None) -> None:
    """Go on if ``unmet`` is None; else skip with that reason, or fail when ``AETHERIUM_REQUIRE`` names ``name``."""
    if unmet is None:
        return
    if name in promised(os.environ.get("AETHERIUM_REQUIRE", "")):
        pytest.fail(f"AETHERIUM_REQUIRE names {name}, but: {unmet}", pytrace=False)
    pytest.skip(f"{name}: {unmet}")


def promised(text: str) -> frozenset[str]:
    """Return the names in a list separated by commas."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())
