"""Reads the configuration.

With no file and no variable that sets a key, the defaults are returned and neither the YAML parser nor pydantic is
imported: every command of the CLI comes through here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aetherium.app.config.overrides import LOG_LEVEL, has_overrides
from aetherium.app.config.registry import Registry
from aetherium.app.config.search import find_file, read_text, search_places
from aetherium.model.config import Config
from aetherium.model.log import Level


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, the file it came from, and where each key was written.

    ``origins`` has ``FILE:LINE`` or ``environment variable NAME`` by key path, in the nested form
    (``storage.postgres.url``); a key that is not there has its default.
    """

    config: Config
    path: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    registry: Registry | Callable[[], Registry],
    places: Sequence[Path] | None = None,
) -> LoadedConfig:
    """Return the configuration of the file named (by ``path``, else AETHERIUM_CONFIG) or found in ``places`` (by
    default those of ``search_places``), under what the environment sets. A function is asked for the registry only if
    there is something to read: finding other people's providers takes time.

    Raises ConfigInvalid with every problem there is.
    """
    found = find_file(path, environ, search_places(environ, os.getuid()) if places is None else places)
    if found is None and not has_overrides(environ):
        level = environ.get(LOG_LEVEL, "").lower()
        if not level:
            return LoadedConfig(Config())
        if level in tuple(Level):
            config = Config()
            config = replace(config, logging=replace(config.logging, level=Level(level)))
            return LoadedConfig(config, origins={"logging.level": f"environment variable {LOG_LEVEL}"})
    return _read(found, environ, registry if isinstance(registry, Registry) else registry())


def _read(path: Path | None, environ: Mapping[str, str], registry: Registry) -> LoadedConfig:
    from aetherium.app.config.assemble import assemble
    from aetherium.app.config.document import Written, read_layer
    from aetherium.app.config.environment import read_environment
    from aetherium.app.config.problems import Problems

    problems = Problems()
    layers = []
    if path is not None:
        layers.append(read_layer(Written(read_text(path), str(path), environ=environ), problems))
    layers.append(read_environment(environ, problems))
    assembled = assemble(layers, registry, problems)
    return LoadedConfig(assembled.config, path, assembled.origins)
