"""Which value a plain YAML scalar means, by the core rules of YAML 1.2.

``yes``, ``no``, ``on``, ``off``, ``1_000``, ``12:30`` and dates are strings here.
"""

from __future__ import annotations

import re

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NANS = frozenset({".nan", ".NaN", ".NAN"})
_LONGEST_NUMBER = 300


def resolve(text: str) -> str | int | float | bool | None:
    """Return what the text of a plain scalar stands for."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _LONGEST_NUMBER:  # no number anyone means, and int() refuses thousands of digits
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> str | int | float:
    if _INT.match(text):
        return int(text)
    if _OCTAL.match(text):
        return int(text[2:], 8)
    if _HEX.match(text):
        return int(text[2:], 16)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITY.match(text):
        return float("-inf" if text[0] == "-" else "inf")
    return float("nan") if text in _NANS else text
