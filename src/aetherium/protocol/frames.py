"""The guest protocol's frames: bytes to frames and back, without I/O.

Format and limits: ``docs/reference/guest-protocol.md``. Everything a guest sends is hostile; the decoder never keeps
more than one frame's worth of bytes and refuses before it allocates.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

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

# Type, least and most bytes of payload, whether it is on stream 0, greatest flags.
_FROM_GUEST: Final[dict[int, tuple[FrameType, int, int, bool, int]]] = {
    FrameType.HELLO: (FrameType.HELLO, 2, MAX_CONTROL, True, 0),
    FrameType.PING: (FrameType.PING, 0, MAX_PING, True, 0),
    FrameType.PONG: (FrameType.PONG, 0, MAX_PING, True, 0),
    FrameType.REPLY: (FrameType.REPLY, 2, MAX_CONTROL, False, 0),
    FrameType.ERROR: (FrameType.ERROR, 2, MAX_CONTROL, False, 0),
    FrameType.DATA: (FrameType.DATA, 1, MAX_DATA, False, STDERR),
    FrameType.EOF: (FrameType.EOF, 0, 0, False, STDERR),
    FrameType.WINDOW: (FrameType.WINDOW, 4, 4, False, 0),
    FrameType.END: (FrameType.END, 2, MAX_CONTROL, False, 0),
    FrameType.EVENT: (FrameType.EVENT, 2, MAX_CONTROL, False, 0),
}


class ProtocolError(Exception):
    """The peer broke the protocol; the connection is of no more use."""


class Frame(NamedTuple):
    """One frame. ``flags`` is the channel of ``DATA`` and ``EOF``."""

    type: FrameType
    stream: int
    payload: bytes = b""
    flags: int = 0


def encode(frame: Frame) -> bytes:
    """Return the frame's bytes."""
    return HEADER.pack(len(frame.payload), frame.stream, frame.type, frame.flags, 0) + frame.payload


def check_header(length: int, stream: int, kind: int, flags: int, reserved: int) -> FrameType:
    """Return the type of a frame with this header. Raises ProtocolError unless a guest may send it."""
    rule = _FROM_GUEST.get(kind)
    if rule is None:
        raise ProtocolError(f"frame type {kind} is not one a guest may send")
    name, least, most, is_on_connection, most_flags = rule
    if not least <= length <= most:
        raise ProtocolError(f"{name.name} frame of {length} bytes; allowed are {least} to {most}")
    if is_on_connection != (stream == 0):
        raise ProtocolError(f"{name.name} frame on stream {stream}")
    if flags > most_flags or reserved:
        raise ProtocolError(f"{name.name} frame with unknown flags")
    return name


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
                name = check_header(length, stream, kind, flags, reserved)
                if len(self._pending) == HEADER.size + length:
                    payload = bytes(memoryview(self._pending)[HEADER.size :])
                    self._pending = bytearray()
                    yield Frame(name, stream, payload, flags)
        position, end = 0, len(view)
        while end - position >= HEADER.size:
            length, stream, kind, flags, reserved = HEADER.unpack_from(view, position)
            name = check_header(length, stream, kind, flags, reserved)
            stop = position + HEADER.size + length
            if stop > end:
                break
            payload = bytes(view[position + HEADER.size : stop])
            position = stop
            yield Frame(name, stream, payload, flags)
        if position < end:
            self._pending += view[position:]
