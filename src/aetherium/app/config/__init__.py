"""Reads the configuration: files, environment, defaults; checks it, and shows it.

Importing this costs little: the YAML parser and pydantic are imported when there is something to read.
"""

from aetherium.app.config.load import LoadedConfig, load
from aetherium.app.config.options import provider_options
from aetherium.app.config.registry import Registry, Unloadable
from aetherium.app.config.search import search_places, state_dir
from aetherium.app.config.show import as_dict, dump

__all__ = [
    "LoadedConfig",
    "Registry",
    "Unloadable",
    "as_dict",
    "dump",
    "load",
    "provider_options",
    "search_places",
    "state_dir",
]
