"""Where something in the configuration was written, and how a key is named to its author."""

from __future__ import annotations

import re
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""The keys (and, in lists, the indexes) that lead to a value."""

_ORDINARY = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MOST_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, or an environment variable (which has no lines: 0)."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


DEFAULT = Place("default")


def show_key(key: str) -> str:
    """Return a key on one line, short, and without what follows a colon: ``password:hunter2`` is a slip of a key."""
    if _ORDINARY.match(key):
        return key
    head, colon, _ = key.partition(":")
    cut = head[:_MOST_SHOWN]
    return ascii(cut + ("…" if colon or cut != head else "")).replace("\\u2026", "…")


def show_path(path: Path) -> str:
    """Return ``a.b[0].c``."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f"{'.' if shown else ''}{show_key(part)}"
    return shown
