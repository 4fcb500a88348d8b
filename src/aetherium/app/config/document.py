"""YAML text to nodes.

Works on the parser's events rather than on its finished values, because a message needs the line of every key, and the
limits must hold before anything big is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from aetherium.app.config.expand import expand, is_text
from aetherium.app.config.node import Entry, Items, Node, Scalar, Table, kind_of
from aetherium.app.config.place import Path, Place, show_key
from aetherium.app.config.problems import Problems
from aetherium.app.config.scalar import resolve
from aetherium.app.config.shield import Shielded, shield
from aetherium.app.config.syntax import explain

_DEEPEST = 32
_MOST_NODES = 20_000
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Written:
    """A YAML text: where it stands, what its lines are counted as, which variables it may use (None: no ``${}``)."""

    text: str
    source: str
    has_lines: bool = True
    environ: Mapping[str, str] | None = None
    path: Path = ()

    def place(self, line: int) -> Place:
        """Return the place of a line."""
        return Place(self.source, line if self.has_lines else 0)


def read_document(written: Written, problems: Problems) -> Node | None:
    """Return what a text holds; None when it is empty or cannot be read (then that is noted)."""
    if bad := _CONTROL.search(written.text):
        line = written.text.count("\n", 0, bad.start()) + 1
        message = f"the character U+{ord(bad.group()):04X} cannot stand in YAML"
        problems.add(written.place(line), written.path, message)
        return None
    shielded = shield(written.text) if written.environ is not None else Shielded(written.text, {})
    builder = _Builder(written, shielded, problems, YAML(typ="safe", pure=True).parse(shielded.text))
    try:
        return builder.document()
    except _Refused as refused:
        place = written.place(refused.line)
        if refused.column and written.has_lines:
            problems.add_syntax(place, refused.column, refused.message)
        else:
            problems.add(place, written.path, refused.message)
    return None


def read_layer(written: Written, problems: Problems) -> Table:
    """Return a whole file as a mapping of sections; an empty one, or one that cannot be read, sets nothing."""
    node = read_document(written, problems)
    if isinstance(node, Table):
        return node
    if node is not None and not (isinstance(node, Scalar) and node.value is None):
        problems.add(node.place, (), f"must be a mapping of sections, not {kind_of(node)}")
    return Table(place=written.place(1))


class _Refused(Exception):
    """The rest of the text cannot be used."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


@dataclass(slots=True)
class _Builder:
    """Turns one text's events into nodes."""

    written: Written
    shielded: Shielded
    problems: Problems
    events: Iterator[Any]
    anchors: dict[str, tuple[Node, int]] = field(default_factory=dict)
    nodes: int = 0

    def document(self) -> Node | None:
        """Read the one document of the text."""
        found: Node | None = None
        while not isinstance(event := self.next(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                if found is not None:
                    raise self.refused(event, "a second document; there can be one only")
                found = self.node(self.next(), self.written.path, 0)
        return found

    def next(self) -> Any:
        """Return the next event."""
        try:
            return next(self.events)
        except Exception as error:  # the parser's own errors, and what its escapes raise for impossible characters
            line, column, words = explain(error)
        raise _Refused(line or 1, column, words)

    def refused(self, event: Any, message: str) -> _Refused:
        """Return the error for an event that cannot be used."""
        return _Refused(event.start_mark.line + 1, event.start_mark.column + 1, message)

    def place(self, event: Any) -> Place:
        """Return where an event stands."""
        return self.written.place(event.start_mark.line + 1)

    def count(self, event: Any, nodes: int) -> None:
        """Bound the size of what is built, aliases written out."""
        self.nodes += nodes
        if self.nodes > _MOST_NODES:
            raise self.refused(event, f"more than {_MOST_NODES} values, aliases written out")

    def node(self, event: Any, path: Path, depth: int) -> Node:
        """Build the node that an event begins."""
        if isinstance(event, AliasEvent):
            return self.alias(event)
        if event.tag is not None:
            raise self.refused(event, "tags ('!') are not supported")
        if depth > _DEEPEST:
            raise self.refused(event, f"more than {_DEEPEST} levels")
        before = self.nodes
        self.count(event, 1)
        node: Node
        if isinstance(event, MappingStartEvent):
            node = self.table(event, path, depth)
        elif isinstance(event, SequenceStartEvent):
            node = self.items(event, path, depth)
        else:
            node = self.scalar(event, path)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.nodes - before)
        return node

    def alias(self, event: Any) -> Node:
        """Return what an alias stands for."""
        if event.anchor not in self.anchors:
            raise self.refused(event, "an alias ('*') that refers to nothing above it")
        node, size = self.anchors[event.anchor]
        self.count(event, size)
        return node

    def items(self, start: Any, path: Path, depth: int) -> Items:
        """Build a list."""
        nodes: list[Node] = []
        while not isinstance(event := self.next(), SequenceEndEvent):
            nodes.append(self.node(event, (*path, len(nodes)), depth + 1))
        return Items(place=self.place(start), nodes=tuple(nodes))

    def table(self, start: Any, path: Path, depth: int) -> Table:
        """Build a mapping; note keys that cannot be keys or are there twice."""
        entries: dict[str, Entry] = {}
        while not isinstance(event := self.next(), MappingEndEvent):
            place = self.place(event)
            if not isinstance(event, ScalarEvent):
                raise self.refused(event, "a key must be a text")
            key = self.shielded.restore(event.value)
            self.count(event, 1)
            node = self.node(self.next(), (*path, key), depth + 1)
            if reason := _reason_against(key):
                self.problems.add(place, path, reason)
            elif key in entries:
                self.problems.add(place, (*path, key), f"is there twice; first at {entries[key].place}")
            else:
                entries[key] = Entry(place=place, node=node)
        return Table(place=self.place(start), entries=entries)

    def scalar(self, event: Any, path: Path) -> Scalar:
        """Build a value, expanded; without quotes it is what YAML's rules make of it, with quotes a string."""
        place, is_plain = self.place(event), event.style is None
        text = self.shielded.restore(event.value)
        is_from_variable = False
        if self.written.environ is not None and "$" in text:
            expansion = expand(text, self.written.environ)
            if expansion.problems:
                return self.broken(place, path, expansion.problems)
            text, is_from_variable = expansion.text, True
        if not is_text(text):
            return self.broken(place, path, ("holds half a character (a lone surrogate)",))
        return Scalar(
            place=place,
            value=resolve(text) if is_plain else text,
            text=text,
            is_loose=is_plain and (is_from_variable or not self.written.has_lines),
            is_from_variable=is_from_variable or not self.written.has_lines,
        )

    def broken(self, place: Place, path: Path, reasons: tuple[str, ...]) -> Scalar:
        """Note why a value means nothing; return what stands for it."""
        node = Scalar(place=place, value=None, text="", is_broken=True)
        for reason in reasons:
            self.problems.add(place, path, reason, node=node)
        return node


def _reason_against(key: str) -> str:
    if not key:
        return "an empty key"
    if not is_text(key):
        return "a key that holds half a character (a lone surrogate)"
    if key == "<<":
        return f"{show_key(key)} is not a key: YAML 1.2 has no merging"
    return ""
