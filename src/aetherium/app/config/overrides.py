"""The names of the variables that set keys. Apart from their reading, because every command asks whether there are any
and few have to read them."""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "AETHERIUM__"
LOG_LEVEL = "AETHERIUM_LOG_LEVEL"


def has_overrides(environ: Mapping[str, str]) -> bool:
    """Say whether the environment sets any key by its path."""
    return any(value and name.upper().startswith(PREFIX) for name, value in environ.items())
