"""``aetherium config check`` and ``config show``."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from aetherium.app.config import LoadedConfig, as_dict, dump, load
from aetherium.app.registry import REGISTRY
from aetherium.cli.errors import guarded
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_json, show_lines


def check(*, options: Options = DEFAULTS) -> int:
    """Read the configuration and report every problem in it."""

    def work() -> int:
        loaded = _load(options)
        if options.json:
            show_json({"ok": True, "file": None if loaded.path is None else str(loaded.path)})
        else:
            show_lines([f"{loaded.path or 'no file, only defaults'}: no problem found"])
        return 0

    return guarded(work, json=options.json, verbose=options.verbose)


def show(
    *,
    origins: Annotated[bool, Parameter(help="Say of each value where it was written.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """Print the configuration that is in force, as YAML; secrets are masked."""

    def work() -> int:
        loaded = _load(options)
        if options.json:
            config = as_dict(loaded.config)
            show_json({"config": config, "origins": dict(loaded.origins)} if origins else config)
        else:
            show_lines([dump(loaded.config, origins=loaded.origins if origins else None).rstrip("\n")])
        return 0

    return guarded(work, json=options.json, verbose=options.verbose)


def _load(options: Options) -> LoadedConfig:
    return load(options.config, environ=os.environ, registry=REGISTRY)
