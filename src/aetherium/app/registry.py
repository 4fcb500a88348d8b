"""The table of providers: port and name to the module that brings it. Other people's come by entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

BUILT_IN: Final[dict[str, dict[str, str]]] = {
    "vmm": {
        "bubblewrap": "aetherium.drivers.vmm.bubblewrap",
        "memory": "aetherium.drivers.vmm.memory",
    },
    "storage": {
        "sqlite": "aetherium.drivers.store.sqlite",
        "memory": "aetherium.drivers.store.memory",
    },
    "event_bus": {"memory": "aetherium.drivers.bus.memory"},
    "logging": {
        "stdout": "aetherium.drivers.logs.stdout",
        "memory": "aetherium.drivers.logs.memory",
    },
}
"""Modules with ``Config`` (a frozen dataclass) and ``open_(config, *, state_dir)`` (an async context manager)."""

ENTRY_POINT_GROUPS: Final = {
    "vmm": "aetherium.vmm",
    "storage": "aetherium.store",
    "event_bus": "aetherium.bus",
    "logging": "aetherium.logs",
}


def foreign(port: str) -> dict[str, EntryPoint]:
    """Return other people's providers of a port: entry points named for the provider, leading to such a module."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUPS[port])}
