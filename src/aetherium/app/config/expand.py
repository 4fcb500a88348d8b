"""``${VAR}``, ``${VAR:-default}`` and ``$$`` in one text.

A ``$`` before anything else is itself. A default may hold ``${...}`` again; what a variable holds is never expanded.
Messages name variables, never what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST = 16
_LONGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Expansion:
    """A text after expansion; ``problems`` are reasons for which it must not be used."""

    text: str
    is_changed: bool = False
    problems: tuple[str, ...] = ()


def expand(text: str, environ: Mapping[str, str]) -> Expansion:
    """Replace the variables in a text."""
    if "$" not in text:
        return Expansion(text)
    work = _Work(text, environ)
    try:
        work.run(in_default=False, depth=0, is_used=True)
    except _Malformed as malformed:
        work.problems.append(str(malformed))
    return Expansion("".join(work.parts), is_changed=True, problems=tuple(work.problems))


class _Malformed(Exception):
    """The text cannot be read further."""


@dataclass(slots=True)
class _Work:
    """One reading of a text from left to right."""

    text: str
    environ: Mapping[str, str]
    at: int = 0
    parts: list[str] = field(default_factory=list)
    length: int = 0
    problems: list[str] = field(default_factory=list)

    def run(self, *, in_default: bool, depth: int, is_used: bool) -> None:
        """Read to the end of the text or, in a default, past the brace that ends it."""
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == "}" and in_default:
                self.at += 1
                return
            if here == "$" and self.text[self.at + 1 : self.at + 2] in ("$", "{"):
                self.at += 2
                if self.text[self.at - 1] == "$":
                    self.put("$", is_used=is_used)
                else:
                    self.variable(depth=depth, is_used=is_used)
                continue
            self.at += 1
            self.put(here, is_used=is_used)
        if in_default:
            raise _Malformed("'${' without its '}'; write '$$' for a plain '$'")

    def variable(self, *, depth: int, is_used: bool) -> None:
        """Read what follows ``${``."""
        if depth == _DEEPEST:
            raise _Malformed(f"more than {_DEEPEST} '${{' in each other")
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise _Malformed("'${' without a variable's name after it; write '$$' for a plain '$'")
        self.at = match.end()
        if self.at == len(self.text):
            raise _Malformed("'${' without its '}'; write '$$' for a plain '$'")
        value = self.environ.get(match.group())
        if self.text[self.at] == "}":
            self.at += 1
            if is_used:
                self.put_variable(match.group(), value)
        elif self.text.startswith(":-", self.at):
            self.at += 2
            self.run(in_default=True, depth=depth + 1, is_used=is_used and not value)
            if is_used and value:
                self.put_variable(match.group(), value)
        else:
            raise _Malformed("after '${' only VAR} and VAR:-default} are known")

    def put_variable(self, name: str, value: str | None) -> None:
        """Add what a variable holds."""
        if value is None:
            self.problems.append(f"the environment variable {name} is not set")
        elif not is_text(value):
            self.problems.append(f"what the environment variable {name} holds is not UTF-8 text")
        else:
            self.put(value, is_used=True)

    def put(self, piece: str, *, is_used: bool) -> None:
        """Add a piece of the result."""
        if is_used:
            self.length += len(piece)
            if self.length > _LONGEST:
                raise _Malformed("it is longer than 1 MiB after expansion")
            self.parts.append(piece)


def is_text(value: str) -> bool:
    """Say whether a text holds only whole characters: the environment can hold any bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in value)
