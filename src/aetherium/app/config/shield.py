"""Lets ``{url: ${DATABASE_URL}}`` be YAML.

In a flow mapping an unquoted value cannot hold braces, so the one-line form of a section could not use a variable
without quotes. Before parsing, the braces, brackets and commas of each ``${...}`` give way to characters that the text
does not have, one for one, so lines and columns stay; every scalar gets them back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENING = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?=:-|\})")
_INDICATORS = "{}[],"
_PRIVATE = (*range(0xE000, 0xF900), *range(0xF0000, 0xF0100))


@dataclass(frozen=True, slots=True)
class Shielded:
    """A text to parse, and how to undo what was done to it."""

    text: str
    _undo: dict[int, str]

    def restore(self, scalar: str) -> str:
        """Return a scalar as its author wrote it."""
        return scalar.translate(self._undo)


def shield(text: str) -> Shielded:
    """Replace the flow indicators in every ``${...}`` that ends on its line."""
    if "${" not in text:
        return Shielded(text, {})
    used = set(text)
    spare = [chr(code) for code in _PRIVATE if chr(code) not in used][: len(_INDICATORS)]
    if len(spare) < len(_INDICATORS):
        return Shielded(text, {})
    table = {ord(char): other for char, other in zip(_INDICATORS, spare, strict=True)}
    parts, at = [], 0
    while match := _OPENING.search(text, at):
        end, is_whole = _end(text, match.end())
        parts.append(text[at : match.start()])
        piece = text[match.start() : end]
        parts.append(piece.translate(table) if is_whole else piece)
        at = end
    parts.append(text[at:])
    return Shielded("".join(parts), {ord(other): char for char, other in zip(_INDICATORS, spare, strict=True)})


def _end(text: str, at: int) -> tuple[int, bool]:
    """Return where the ``${`` whose name ends at ``at`` is over, and True; or the end of the line, and False."""
    depth = 1
    while at < len(text) and text[at] != "\n":
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        depth -= text[at] == "}"
        at += 1
        if not depth:
            return at, True
    return at, False
