"""Nodes to a value of a dataclass, or to problems."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aetherium.app.config.node import Entry, Items, Node, Scalar, Table, is_broken, shown
from aetherium.app.config.place import Path, Place
from aetherium.app.config.problems import Problems
from aetherium.app.config.shape import fields_of, is_secret, item_of
from aetherium.app.config.suggest import suggest
from aetherium.app.config.wording import of_type, of_value, one_line, wanted
from aetherium.model.errors import AetheriumError
from aetherium.model.secret import MASK

_WITHHELD = "is refused; the reason is not shown because it may quote a secret"
_OWN_WORDS = frozenset({"value_error", "assertion_error"})
_TEXTUAL = frozenset({"string_type", "path_type", "enum", "literal_error"})
_WORD = re.compile(r"[^\W_]{3,}")


@dataclass(frozen=True, slots=True)
class Wish:
    """A type, the nodes that should become one, where its absence is noted, and the key path as the author wrote it."""

    kind: type[Any]
    table: Table
    place: Place
    written: Callable[[Path], Path]


def build(wish: Wish, problems: Problems) -> Any | None:
    """Return the value; None when there are problems, which are noted.

    Goes by way of JSON, because there pydantic's strict mode does what a file needs: text becomes an enumeration or a
    path, a list becomes a tuple, but a string never becomes a number.
    """
    work = _Work(wish, problems)
    try:
        return work.run()
    except _Failed as failed:
        problems.add(wish.place, wish.written(()), str(failed))
    return None


class _Failed(Exception):
    """The type itself, or code of it, does not do."""


@dataclass(slots=True)
class _Work:
    """One building of a value, at most twice over."""

    wish: Wish
    problems: Problems
    broken: set[Path] = field(default_factory=set)
    as_text: set[Path] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)

    def run(self) -> Any | None:
        """Check keys, then types; where a string is wanted, take loose values as they were written."""
        noted = len(self.problems.found)
        data = self.data(self.wish.table, self.wish.kind, ())
        adapter = self.adapter()
        value, errors = self.validate(adapter, data)
        textual = (self.walk(error["loc"]) for error in errors if error["type"] in _TEXTUAL)
        loose = {path for path, node, _ in textual if isinstance(node, Scalar) and node.is_loose}
        if loose:
            self.as_text = loose
            quiet = _Work(self.wish, Problems(), as_text=loose)
            value, errors = self.validate(adapter, quiet.data(self.wish.table, self.wish.kind, ()))
        self.note(errors)
        return value if len(self.problems.found) == noted and not self.broken else None

    def adapter(self) -> TypeAdapter[Any]:
        """Return pydantic's idea of the type."""
        try:
            return TypeAdapter(self.wish.kind)
        except Exception as error:
            reason = one_line(str(error).partition("\n")[0])
        raise _Failed(f"the provider's options cannot be described: {reason}")

    def validate(self, adapter: TypeAdapter[Any], data: Any) -> tuple[Any, list[Any]]:
        """Return the value, or what is wrong with it."""
        try:
            return adapter.validate_json(json.dumps(data), strict=True), []
        except ValidationError as error:
            return None, error.errors(include_url=False, include_input=False)
        except AetheriumError as error:  # a dataclass may refuse in our own words
            reason = self.guard(one_line(error.message))
        except Exception as error:  # the message may quote a value
            reason = f"the provider's options cannot be checked: {type(error).__name__}"
        raise _Failed(reason)

    def data(self, node: Node, hint: Any, path: Path) -> Any:
        """Return plain data, without keys that are unknown or broken."""
        match node:
            case Table():
                return self.keys(node, hint, path)
            case Items():
                return [self.data(item, item_of(hint), (*path, index)) for index, item in enumerate(node.nodes)]
        if is_secret(hint):
            self.secrets.update((node.text, *_WORD.findall(node.text)))
            if node.text == MASK:
                self.problems.add(node.place, self.wish.written(path), "is the mask of a shown secret, not a secret")
        return node.text if path in self.as_text else node.value

    def keys(self, table: Table, hint: Any, path: Path) -> dict[str, Any]:
        """Return a mapping's data; note unknown keys."""
        known = fields_of(hint)
        data = {}
        for key, entry in table.entries.items():
            here = (*path, key)
            if known is not None and key not in known:
                written = self.wish.written((*path, shown(key, entry)))
                self.problems.add(entry.place, written, f"unknown key{suggest(key, known)}")
            elif is_broken(entry.node) and not isinstance(entry.node, Table):
                self.broken.add(here)
            else:
                data[key] = self.data(entry.node, item_of(hint) if known is None else known[key], here)
        return data

    def walk(self, location: tuple[str | int, ...]) -> tuple[Path, Node, Place]:
        """Follow an error's location as far as there are nodes."""
        path: Path = ()
        node: Node = self.wish.table
        place = self.wish.place
        for part in location:
            below: Node | Entry | None = None
            if isinstance(node, Table) and isinstance(part, str):
                below = node.entries.get(part)
            elif isinstance(node, Items) and isinstance(part, int) and part < len(node.nodes):
                below = node.nodes[part]
            if below is None:
                break
            path, place = (*path, part), below.place
            node = below.node if isinstance(below, Entry) else below
        return path, node, place if isinstance(node, Table) else node.place

    def note(self, errors: list[Any]) -> None:
        """Note what pydantic found, one problem for each value: a union has an error for each of its types."""
        about: dict[Path, list[Any]] = {}
        for error in errors:
            path, _, place = self.walk(error["loc"])
            if error["type"] != "missing":
                about.setdefault(path, []).append(error)
                continue
            missing = (*path, error["loc"][len(path)]) if len(error["loc"]) > len(path) else path
            if not any(one[: len(missing)] == missing for one in self.broken):
                self.problems.add(place, self.wish.written(missing), "is required")
        for path, found in about.items():
            _, node, place = self.walk(path)
            self.problems.add(place, self.wish.written(path), self.message(found, node))

    def message(self, errors: list[Any], node: Node) -> str:
        """Return what to say about one value."""
        wants = [wanted(error, among=len(errors)) for error in errors]
        if all(wants):
            return of_type([want for want in wants if want], node)
        error = next(error for error, want in zip(errors, wants, strict=True) if want is None)
        message = of_value(error, node)
        return self.guard(message) if error["type"] in _OWN_WORDS else message

    def guard(self, message: str) -> str:
        """Return a message that other people's code wrote, unless a secret may be in it."""
        return _WITHHELD if any(secret and secret in message for secret in self.secrets) else message
