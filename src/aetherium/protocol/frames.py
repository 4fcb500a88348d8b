"""The guest protocol's frames: bytes to frames and back, without I/O.

Format and limits: ``docs/reference/guest-protocol.md``. Everything a guest sends is hostile; the decoder never keeps
more than one frame's worth of bytes and refuses before it allocates.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VERSION: Final = 1
HEADER: Final = struct.Struct("<IIBBH")
MAX_DATA: Final = 64 * 1024
MAX_CONTROL: Final = 64 * 1024
MAX_REQUEST: Final = 2 * 1024 * 1024
MAX_PING: Final = 64
GUEST_WINDOW: Final = 1024 * 1024
"""Bytes the guest may send on a new stream before the host grants more."""
HOST_WINDOW: Final = 256 * 1024
"""Bytes the host may send on a new stream before the guest grants more."""


class FrameType(IntEnum):
    """What a frame carries."""

    HELLO = 1
    PING = 2
    PONG = 3
    REQUEST = 4
    REPLY = 5
    ERROR = 6
    DATA = 7
    EOF = 8
    WINDOW = 9
    END = 10
    CANCEL = 11
    EVENT = 12


STDOUT: Final = 0
STDERR: Final = 1

_CONNECTION_TYPES: Final = frozenset({FrameType.HELLO, FrameType.PING, FrameType.PONG})
_LIMITS_FROM_GUEST: Final[dict[int, tuple[int, int]]] = {
    FrameType.HELLO: (2, MAX_CONTROL),
    FrameType.PING: (0, MAX_PING),
    FrameType.PONG: (0, MAX_PING),
    FrameType.REPLY: (2, MAX_CONTROL),
    FrameType.ERROR: (2, MAX_CONTROL),
    FrameType.DATA: (1, MAX_DATA),
    FrameType.EOF: (0, 0),
    FrameType.WINDOW: (4, 4),
    FrameType.END: (2, MAX_CONTROL),
    FrameType.EVENT: (2, MAX_CONTROL),
}


class ProtocolError(Exception):
    """The peer broke the protocol; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. ``flags`` is the channel of ``DATA`` and ``EOF``."""

    type: FrameType
    stream: int
    payload: bytes = b""
    flags: int = 0


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    return HEADER.pack(len(frame.payload), frame.stream, frame.type, frame.flags, 0) + frame.payload


def check_header(length: int, stream: int, kind: int, flags: int, reserved: int) -> None:
    """Raise ProtocolError unless a guest may send a frame with this header."""
    limits = _LIMITS_FROM_GUEST.get(kind)
    if limits is None:
        raise ProtocolError(f"frame type {kind} is not one a guest may send")
    if not limits[0] <= length <= limits[1]:
        raise ProtocolError(f"{FrameType(kind).name} frame of {length} bytes; allowed are {limits[0]} to {limits[1]}")
    if (kind in _CONNECTION_TYPES) != (stream == 0):
        raise ProtocolError(f"{FrameType(kind).name} frame on stream {stream}")
    if flags > (STDERR if kind in (FrameType.DATA, FrameType.EOF) else 0) or reserved:
        raise ProtocolError(f"{FrameType(kind).name} frame with unknown flags")


class Decoder:
    """Cuts a guest's bytes into frames. Holds at most one incomplete frame (64 KiB and a header)."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes. Raises ProtocolError on the first bad header."""
        view = memoryview(data)
        if self._pending:
            # Complete the frame that began in an earlier read, then go on without copying.
            while view and self._pending:
                needed = HEADER.size
                if len(self._pending) >= HEADER.size:
                    needed += HEADER.unpack_from(self._pending)[0]
                take = view[: needed - len(self._pending)]
                self._pending += take
                view = view[len(take) :]
                if len(self._pending) < HEADER.size:
                    continue
                length, stream, kind, flags, reserved = HEADER.unpack_from(self._pending)
                check_header(length, stream, kind, flags, reserved)
                if len(self._pending) == HEADER.size + length:
                    payload = bytes(memoryview(self._pending)[HEADER.size :])
                    self._pending = bytearray()
                    yield Frame(FrameType(kind), stream, payload, flags)
        position, end = 0, len(view)
        while end - position >= HEADER.size:
            length, stream, kind, flags, reserved = HEADER.unpack_from(view, position)
            check_header(length, stream, kind, flags, reserved)
            stop = position + HEADER.size + length
            if stop > end:
                break
            payload = bytes(view[position + HEADER.size : stop])
            position = stop
            yield Frame(FrameType(kind), stream, payload, flags)
        if position < end:
            self._pending += view[position:]
