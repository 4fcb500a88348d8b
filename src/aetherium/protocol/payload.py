"""JSON payloads of frames, read with suspicion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from aetherium.protocol.frames import ProtocolError
from aetherium.protocol.osstring import from_json

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
_MAX_INT = 2**63 - 1
_T = TypeVar("_T", str, int)


def encode_object(fields: Mapping[str, JsonValue]) -> bytes:
    """Return the payload for ``fields``; None values are left out."""
    kept = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


class Payload:
    """A JSON object from a guest. Every getter checks type and range and raises ProtocolError."""

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        try:
            # decoded here: json.loads would also take UTF-16 and encoded surrogates
            value = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise ProtocolError("a payload is not JSON") from error
        if not isinstance(value, dict):
            raise ProtocolError("a payload is not a JSON object")
        self._fields: dict[str, object] = value

    def integer(self, name: str, *, default: int | None = None, least: int = 0, most: int = _MAX_INT) -> int:
        """Return an integer from ``least`` to ``most``."""
        value = self._fields.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise ProtocolError(f"field {name!r} is not an integer from {least} to {most}")
        return value

    def boolean(self, name: str) -> bool:
        """Return true or false; absent is false."""
        value = self._fields.get(name, False)
        if type(value) is not bool:
            raise ProtocolError(f"field {name!r} is not true or false")
        return value

    def text(self, name: str, *, default: str | None = None, most: int = 4096) -> str:
        """Return a string of at most ``most`` characters."""
        value = self._fields.get(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise ProtocolError(f"field {name!r} is not a string of at most {most} characters")
        return _checked(value)

    def os_string(self, name: str, *, default: str | None = None) -> str:
        """Return an OS string of at most 16 KiB, with surrogate escapes."""
        return from_json(self.text(name, default=default, most=16384))

    def os_strings(self, name: str) -> tuple[str, ...]:
        """Return a list of OS strings."""
        return tuple(from_json(item) for item in self.texts(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; absent is empty."""
        return tuple(_checked(item) for item in self._list(name, str))

    def integers(self, name: str, *, least: int = 0, most: int = _MAX_INT) -> tuple[int, ...]:
        """Return a list of integers from ``least`` to ``most``; absent is empty."""
        values = tuple(self._list(name, int))
        if not all(least <= value <= most for value in values):
            raise ProtocolError(f"field {name!r} has an item that is not from {least} to {most}")
        return values

    def instant(self, name: str) -> datetime:
        """Return nanoseconds since 1970 as an instant; what a clock cannot hold becomes the epoch."""
        nanoseconds = self.integer(name, default=0, least=-_MAX_INT)
        try:
            return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
        except (OverflowError, ValueError, OSError):
            return datetime.fromtimestamp(0, UTC)

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self._fields.get(name) is not None

    def _list(self, name: str, kind: type[_T]) -> list[_T]:
        value = self._fields.get(name, [])
        if not isinstance(value, list):
            raise ProtocolError(f"field {name!r} is not a list")
        for item in value:
            if type(item) is not kind:
                raise ProtocolError(f"field {name!r} has an item that is not {kind.__name__}")
        return value


def _checked(text: str) -> str:
    """Refuse lone surrogates (JSON can write them as escapes): nobody could print or store the string."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("a string is not Unicode text") from error
    return text
