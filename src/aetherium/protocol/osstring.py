"""OS strings in JSON: bytes that are usually text (``docs/reference/guest-protocol.md``)."""

from __future__ import annotations

import base64
import binascii

from aetherium.model.errors import InvalidArgument
from aetherium.protocol.frames import ProtocolError


def to_json(text: str) -> str:
    """Return the JSON form of a string that may hold surrogate escapes for bytes that are not UTF-8.

    Raises InvalidArgument when it stands for no bytes an operating system takes.
    """
    if "\0" in text:
        raise InvalidArgument("a path, name or argument cannot contain the NUL character")
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        pass
    try:
        return "\0" + base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
    except UnicodeEncodeError as error:
        raise InvalidArgument("a path, name or argument has a character that no encoding has") from error


def from_json(text: str) -> str:
    """Return the string a JSON value means, with surrogate escapes. Raises ProtocolError."""
    if text.startswith("\0"):
        try:
            text = base64.b64decode(text[1:], validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError) as error:
            raise ProtocolError("an OS string is not base64") from error
    if "\0" in text:
        raise ProtocolError("an OS string has a NUL byte")
    return text
