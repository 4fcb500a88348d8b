"""Which providers there are, and where each one's ``Config`` type is. Nothing is imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any

from aetherium.app.config.shape import fields_of


class Unloadable(Exception):
    """A provider is known, but its ``Config`` cannot be had here."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Per section of the configuration, per provider's name: ``module:attr`` (or ``module:a.b``) of a frozen
    dataclass with its options, or None for a provider that has no options."""

    table: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)

    def names(self, section: str) -> tuple[str, ...]:
        """Return the known providers of a section, in order."""
        return tuple(sorted(self.table.get(section, ())))

    def config_type(self, section: str, name: str) -> type[Any] | None:
        """Load a provider's ``Config``; None when it has no options. Raises Unloadable."""
        target = self.table[section][name]
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        try:
            found = attrgetter(attribute)(import_module(module))
            fields_of(found)  # its annotations must mean something
        except Exception as error:  # other people's modules fail in their own ways
            raise Unloadable(f"{type(error).__name__}: {error}") from error
        if not (isinstance(found, type) and is_dataclass(found)):
            raise Unloadable(f"{target} is not a dataclass")
        return found
