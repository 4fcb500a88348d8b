"""Identifiers: short, random, safe in file names, host names and URLs."""

from __future__ import annotations

import os
import re
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
VALID_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
"""A DNS label or a little more: 1 to 63 characters, no leading or trailing punctuation, no ``..`` worth fearing."""


def new_id(prefix: str) -> str:
    """Return ``prefix-`` and 60 random bits."""
    return prefix + "-" + "".join(_ALPHABET[byte % 32] for byte in os.urandom(12))


def is_valid_id(text: str) -> bool:
    """Say whether a user may choose ``text`` as an id."""
    return VALID_ID.fullmatch(text) is not None and ".." not in text
