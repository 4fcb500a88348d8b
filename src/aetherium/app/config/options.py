"""What a provider is opened with."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aetherium.app.config.registry import Registry, Unloadable
from aetherium.model.config import Config
from aetherium.model.errors import ConfigInvalid


def provider_options(config: Config, section: str, name: str, registry: Registry) -> Any | None:
    """Return a provider's options: those that are configured, else its defaults, with the section's own keys for
    options of the same name. None for a provider that has no options. Raises ConfigInvalid."""
    value = getattr(config, section)
    if name in value.options:
        return value.options[name]
    if name not in registry.table.get(section, ()):
        known = ", ".join(registry.names(section))
        raise ConfigInvalid((f"{section}.provider: unknown provider {name!r}; known are: {known}",))
    try:
        kind = registry.config_type(section, name)
    except Unloadable as error:
        raise ConfigInvalid((f"{section}.provider: the provider {name!r} cannot be loaded: {error}",)) from error
    if kind is None:
        return None
    own = {one.name for one in fields(value)} - {"options", "provider"}
    try:
        return kind(**{one.name: getattr(value, one.name) for one in fields(kind) if one.init and one.name in own})
    except TypeError as error:  # its class names what it lacks, never a value
        raise ConfigInvalid((f"{section}.{name}: {error}",)) from error
