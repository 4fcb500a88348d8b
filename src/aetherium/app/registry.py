"""The table of providers: port and name to the module that brings it. Other people's come by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from aetherium.app.config import Registry

BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = {
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


def foreign(section: str) -> dict[str, str]:
    """Return other people's providers of a section: name to module, from entry points. Reads every installed
    distribution's metadata, so it is asked only for names that are not built in."""
    from importlib.metadata import entry_points

    return {point.name: point.module for point in entry_points(group=ENTRY_POINT_GROUPS[section])}


def module_of(section: str, name: str) -> str | None:
    """Return the module of a provider, None for an unknown name."""
    return BUILT_IN[section].get(name) or foreign(section).get(name)


def names(section: str) -> tuple[str, ...]:
    """Return all providers' names, built-in ones first."""
    return (*BUILT_IN[section], *sorted(foreign(section).keys() - BUILT_IN[section].keys()))


class _Section(Mapping[str, str | None]):
    """The ``Config`` of every provider of a section; other people's providers are looked for only when it must be."""

    def __init__(self, section: str) -> None:
        self._section = section

    def __getitem__(self, name: str) -> str:
        module = module_of(self._section, name)
        if module is None:
            raise KeyError(name)
        return f"{module}:Config"

    def __iter__(self) -> Iterator[str]:
        return iter(names(self._section))

    def __len__(self) -> int:
        return len(names(self._section))


class _ConfigTypes(Mapping[str, Mapping[str, str | None]]):
    """Where each provider's ``Config`` is. Looked up late: a configuration without files needs none of it."""

    _no_options: Final[Mapping[str, Mapping[str, str | None]]] = {
        "task_queue": {"memory": None, "sqlite": None},
        "integrations": {},
    }

    def __getitem__(self, section: str) -> Mapping[str, str | None]:
        if section in self._no_options:
            return self._no_options[section]
        return _Section(section)

    def __iter__(self) -> Iterator[str]:
        return iter((*BUILT_IN, *self._no_options))

    def __len__(self) -> int:
        return len(BUILT_IN) + len(self._no_options)


REGISTRY: Final = Registry(_ConfigTypes())
