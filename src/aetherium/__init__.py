"""Aetherium runs autonomous AI agents and other untrusted programs, each in an isolated machine of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aetherium.app.open import open_ as open  # noqa: A004
    from aetherium.app.sync import SyncEngine, open_sync
    from aetherium.core.engine import Engine
    from aetherium.model.command import (
        Channel,
        Command,
        Exec,
        ExecResult,
        ExitStatus,
        Output,
        Rlimit,
        TerminalSize,
    )
    from aetherium.model.config import Config
    from aetherium.model.errors import AetheriumError
    from aetherium.model.vm import VM, Isolation, Mount, Network, VMConfig, VMState

__version__ = "0.1.0"

__all__ = [
    "VM",
    "AetheriumError",
    "Channel",
    "Command",
    "Config",
    "Engine",
    "Exec",
    "ExecResult",
    "ExitStatus",
    "Isolation",
    "Mount",
    "Network",
    "Output",
    "Rlimit",
    "SyncEngine",
    "TerminalSize",
    "VMConfig",
    "VMState",
    "open",
    "open_sync",
]

_WHERE = {
    "open": "aetherium.app.open:open_",
    "open_sync": "aetherium.app.sync:open_sync",
    "SyncEngine": "aetherium.app.sync:SyncEngine",
    "Engine": "aetherium.core.engine:Engine",
    "Config": "aetherium.model.config:Config",
    "AetheriumError": "aetherium.model.errors:AetheriumError",
    **{
        name: f"aetherium.model.command:{name}"
        for name in (
            "Channel",
            "Command",
            "Exec",
            "ExecResult",
            "ExitStatus",
            "Output",
            "Rlimit",
            "TerminalSize",
        )
    },
    **{name: f"aetherium.model.vm:{name}" for name in ("VM", "Isolation", "Mount", "Network", "VMConfig", "VMState")},
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562): ``import aetherium`` itself costs nothing."""
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'aetherium' has no attribute {name!r}")
    module, _, attribute = where.partition(":")
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
