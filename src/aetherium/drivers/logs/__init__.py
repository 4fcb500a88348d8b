"""Drivers that take log lines."""

from __future__ import annotations

from typing import Final

from aetherium.model.log import Level

RANK: Final = {level: rank for rank, level in enumerate(Level)}
"""How much a level matters; higher is more."""
