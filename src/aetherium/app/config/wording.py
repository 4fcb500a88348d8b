"""pydantic's complaints in our words. A message quotes a value only if it is written out in the file and not secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aetherium.app.config.node import Node, Scalar, kind_of

_WANTED = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "path": "a path",
    "none_required": "nothing",
    "dict": "a mapping",
    "mapping": "a mapping",
    "dataclass": "a mapping",
    "model": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_MOST_QUOTED = 40


def wanted(error: Mapping[str, Any], *, among: int = 1) -> str | None:
    """Return what should be there, if the error is about the type, or one among several of a union."""
    kind: str = error["type"]
    if among > 1 and kind in ("enum", "literal_error"):
        return _names(error)
    return (
        _WANTED.get(kind) or _WANTED.get(kind.removesuffix("_type")) or ("an integer" if "int_from" in kind else None)
    )


def of_type(wants: list[str], node: Node) -> str:
    """Return the message for a value of a wrong type."""
    hint = ""
    if "a string" in wants and isinstance(node, Scalar) and node.value is not None:
        hint = "; put it in quotes"
    return f"must be {' or '.join(dict.fromkeys(wants))}, not {kind_of(node)}{hint}"


def of_value(error: Mapping[str, Any], node: Node) -> str:
    """Return the message for a value of the right type that cannot be."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {context[name]}"
    if kind in ("enum", "literal_error"):
        return f"must be {_names(error)}{_but(node)}"
    if kind in ("value_error", "assertion_error"):
        return one_line(str(context["error"]))
    if kind in ("too_short", "string_too_short", "too_long", "string_too_long"):
        bound = "at least" if "short" in kind else "at most"
        return f"must have {bound} {context.get('min_length', context.get('max_length'))} of what it is made of"
    return one_line(str(error["msg"])).replace("Input should", "must", 1)


def quoted(node: Node) -> str:
    """Return a value in quotes; nothing when it is long, or came out of the environment."""
    if not isinstance(node, Scalar) or node.is_from_variable or not 0 < len(node.text) <= _MOST_QUOTED:
        return ""
    return ascii(node.text)


def one_line(text: str) -> str:
    """Return a text without line ends."""
    return " ".join(text.split())


def _names(error: Mapping[str, Any]) -> str:
    return str(error["ctx"]["expected"]).replace("'", "")


def _but(node: Node) -> str:
    if not isinstance(node, Scalar) or node.value is None:
        return f", not {kind_of(node)}"
    value = quoted(node)
    return f", not {value}" if value else ""
