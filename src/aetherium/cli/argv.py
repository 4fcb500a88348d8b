"""Puts the words of a command line in the order the parser wants.

Global options may stand before the verb: they are moved behind it. What belongs to a command that runs in a VM is split
off at ``--`` or, as users of ``docker run`` type, at the first word that is no option, and is never looked into.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

GLOBAL_VALUES: Final = frozenset({"--config", "--state-dir", "--driver", "--isolation"})
GLOBAL_FLAGS: Final = frozenset({"--json", "-v", "--verbose"})
GROUPS: Final = frozenset({"vm", "config"})
OPERANDS_BEFORE_COMMAND: Final[Mapping[tuple[str, ...], int]] = {("run",): 0, ("vm", "exec"): 1}
"""Verbs that run a command, and how many words come before it."""


class UsageError(Exception):
    """The command line makes no sense; ``remedy`` says what to look at."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def hoist(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the verb's words and everything else, with the global options that stood before the verb first."""
    verb: list[str] = []
    moved: list[str] = []
    rest = list(words)
    while rest and rest[0] != "--":
        word = rest[0]
        name = word.partition("=")[0]
        if name in GLOBAL_VALUES:
            taken = 1 if "=" in word else 2
            moved += rest[:taken]
            del rest[:taken]
        elif name in GLOBAL_FLAGS:
            moved.append(rest.pop(0))
        elif word.startswith("-"):
            if not verb and word not in ("-h", "--help"):
                raise UsageError(
                    f"unknown option {word!r}{suggestion(name, GLOBAL_VALUES | GLOBAL_FLAGS)}",
                    "options of a verb come after it; 'aetherium --help' lists the global ones",
                )
            break
        else:
            verb.append(rest.pop(0))
            if len(verb) > 1 or word not in GROUPS:
                break
    return verb, moved + rest


def split_command(
    words: Sequence[str], operands: int, *, valued: Collection[str], flags: Collection[str]
) -> tuple[list[str], list[str], list[str]]:
    """Split what follows a verb into its options, its ``operands`` and the command.

    ``valued`` are the names of options that take a value. Raises UsageError for an option nobody knows.
    """
    options: list[str] = []
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest[0]
        if word == "--":
            del rest[0]
            missing = operands - len(found)
            return options, found + rest[:missing], rest[missing:]
        if not word.startswith("-") or word == "-":
            if len(found) == operands:
                break
            found.append(rest.pop(0))
            continue
        taken = _words_of_option(word, valued, flags)
        options += rest[:taken]
        del rest[:taken]
    return options, found, rest


def _words_of_option(word: str, valued: Collection[str], flags: Collection[str]) -> int:
    name = word.partition("=")[0]
    if name in valued:
        return 1 if "=" in word else 2
    if name in flags:
        return 1
    if not word.startswith("--"):
        for position in range(1, len(word)):
            letter = "-" + word[position]
            if letter in valued:
                return 1 if position + 1 < len(word) else 2
            if letter not in flags:
                break
        else:
            return 1
    raise UsageError(f"unknown option {name!r}{suggestion(name, {*valued, *flags})}")


def suggestion(name: str, known: Collection[str]) -> str:
    """Return ``; did you mean '...'?`` when something known is close, else nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def wants_json(words: Sequence[str]) -> bool:
    """Say whether ``--json`` is among Aetherium's own words, even of a command line that does not parse."""
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own
