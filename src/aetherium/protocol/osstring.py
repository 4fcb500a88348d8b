"""OS strings in JSON: bytes that are usually text (``docs/reference/guest-protocol.md``)."""

from __future__ import annotations

import base64
import binascii

from aetherium.protocol.frames import ProtocolError


def to_json(text: str) -> str:
    """Return the JSON form of a string that may hold surrogate escapes for bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "\0" + base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
    return text


def from_json(text: str) -> str:
    """Return the string a JSON value means, with surrogate escapes. Raises ProtocolError."""
    if not text.startswith("\0"):
        return text
    try:
        return base64.b64decode(text[1:], validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("an OS string is not base64") from error
