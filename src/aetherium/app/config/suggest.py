"""Words for names that are not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: str, known: Iterable[str], *, what: str = "known here") -> str:
    """Return ``; did you mean 'x'? known here: x, y``, or what of that there is to say."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} {what}: {', '.join(names)}" if names else ""
