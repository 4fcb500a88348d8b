"""``aetherium version``."""

from __future__ import annotations

from aetherium.cli.about import describe
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_lines


def version(*, options: Options = DEFAULTS) -> int:
    """Show the versions of what is installed: Aetherium, its guest agent, Python, and the platform."""
    show_lines([describe(as_json=options.json)])
    return 0
