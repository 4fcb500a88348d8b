"""What was written, before anyone asks what it should be: values that know their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherium.app.config.place import Place
from aetherium.model.secret import MASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value. ``text`` is how it was written, after expansion.

    ``is_loose``: it came, in part or whole, out of the environment and without quotes, so where a string is wanted the
    text counts and not what YAML makes of it (a password of digits). Messages never quote it. ``is_broken``: its
    problem is noted already, and its value means nothing.
    """

    place: Place
    value: str | int | float | bool | None
    text: str
    is_loose: bool = False
    is_from_variable: bool = False
    is_broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    place: Place
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key, where it stands, and what it has."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping."""

    place: Place
    entries: Mapping[str, Entry] = field(default_factory=dict)


Node = Scalar | Items | Table


def kind_of(node: Node) -> str:
    """Return, for a message, what a node is."""
    match node:
        case Table():
            return "a mapping"
        case Items():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=int()):
            return "an integer"
        case Scalar(value=float()):
            return "a number"
        case _:
            return "a string"


def shown(key: str, entry: Entry) -> str:
    """Return an unknown key for a message.

    One without a value may be a value that lost its key by a slip of the pen, and so perhaps a secret: it is not shown.
    """
    is_bare = isinstance(entry.node, Scalar) and entry.node.value is None and not entry.node.text
    return MASK if is_bare and ":" not in key else key


def is_broken(node: Node) -> bool:
    """Say whether a node, or anything in it, has a problem that is noted already."""
    match node:
        case Table(entries=entries):
            return any(is_broken(entry.node) for entry in entries.values())
        case Items(nodes=nodes):
            return any(is_broken(item) for item in nodes)
        case _:
            return node.is_broken
