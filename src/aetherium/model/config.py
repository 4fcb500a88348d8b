"""The configuration, as frozen values. ``Config()`` is the default one.

A section whose work a provider does has ``provider``, that provider's name, and ``options``: per provider that the
configuration has a section for, a value of the provider's own ``Config`` type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from aetherium.model.log import Level
from aetherium.model.vm import Isolation

AUTO = "auto"
"""The provider's name that means: the strongest one that works on this host."""


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that a number may be; put it in ``Annotated``."""

    least: float
    most: float

    def check(self, value: float) -> float:
        """Return the value. Raises ValueError when it is out of range or not a number."""
        if not self.least <= value <= self.most:
            raise ValueError(f"must be from {self.least:.15g} to {self.most:.15g}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        # A plain dict, because this floor knows no framework.
        return {
            "type": "function-after",
            "function": {"type": "no-info", "function": self.check},
            "schema": handler(source),
        }


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where ``aetherium serve`` listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Range(1, 65535)] = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class VMDefaults:
    """What a VM gets when its creator names nothing else. ``timeout_s`` 0 means no limit."""

    cpus: Annotated[float, Range(0.01, 1024)] = 1.0
    memory_mib: Annotated[int, Range(16, 16 * 1024 * 1024)] = 512
    timeout_s: Annotated[float, Range(0, 10 * 365 * 86400)] = 3600.0
    pids: Annotated[int, Range(8, 4 * 1024 * 1024)] = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class VMMConfig:
    """What isolates the VMs, and how well at least."""

    provider: str = AUTO
    isolation: Isolation = Isolation.NAMESPACE
    defaults: VMDefaults = field(default_factory=VMDefaults)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Where state is kept."""

    provider: str = "sqlite"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQueueConfig:
    """What carries tasks to workers."""

    provider: str = "sqlite"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBusConfig:
    """What carries events to listeners."""

    provider: str = "memory"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """Where log lines go, how they look, and from which level on."""

    provider: str = "stdout"
    format: LogFormat = LogFormat.TEXT
    level: Level = Level.INFO
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationsConfig:
    """Which integrations are switched on."""

    enabled: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it. Only the composition root reads it; everything else gets the part it needs."""

    server: ServerConfig = field(default_factory=ServerConfig)
    vmm: VMMConfig = field(default_factory=VMMConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    task_queue: TaskQueueConfig = field(default_factory=TaskQueueConfig)
    event_bus: EventBusConfig = field(default_factory=EventBusConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    integrations: IntegrationsConfig = field(default_factory=IntegrationsConfig)
