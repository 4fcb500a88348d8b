"""One stream of a guest connection: frames in, bytes out, credit both ways."""

from __future__ import annotations

import asyncio
from collections import deque
from copy import copy
from typing import TYPE_CHECKING

from aetherium.model.errors import AetheriumError, Conflict
from aetherium.protocol.codes import from_guest
from aetherium.protocol.frames import GUEST_WINDOW, HOST_WINDOW, MAX_CONTROL, MAX_DATA, Frame, FrameType, ProtocolError
from aetherium.protocol.payload import Payload

if TYPE_CHECKING:
    from aetherium.core.guest.connection import GuestConnection

_CHARGED = frozenset({FrameType.DATA, FrameType.EVENT})
_AFTER_REPLY = frozenset({FrameType.DATA, FrameType.EOF})
_LAST = frozenset({FrameType.ERROR, FrameType.END})
_SMALL = 1024  # DATA is joined up to this size
_MANY_FRAMES = 1024
_MAX_FRAMES = 65536  # no EVENT of ours is as short as a window divided by this


class Stream:
    """A stream the host opened. ``receive`` until a frame of type END (or REPLY, if unary), or leave by ``cancel``.

    What waits here unread is bounded by the window the guest was granted, and by a number of frames. One task may
    receive; several may send.
    """

    def __init__(self, connection: GuestConnection, number: int, *, unary: bool) -> None:
        self.number = number
        self.is_open = True
        self._connection = connection
        self._unary = unary
        self._frames: deque[Frame] = deque()
        self._failure: AetheriumError | None = None
        self._received = asyncio.Event()
        self._guest_window = GUEST_WINDOW
        self._consumed = 0
        self._host_credit = HOST_WINDOW
        self._credited = asyncio.Event()
        self._replied = False
        self._ended_channels: set[int] = set()
        self._eof_sent = False

    # Called by the connection, never blocking.

    def on_frame(self, frame: Frame) -> None:
        """Take a frame from the guest. Raises ProtocolError when the guest may not send it now."""
        kind = frame.type
        if kind is FrameType.WINDOW:
            self._on_credit(int.from_bytes(frame.payload, "little"))
            return
        if kind is FrameType.REPLY:
            if self._replied:
                raise ProtocolError("second REPLY on a stream")
            self._replied = True
        elif not self._replied and kind in _AFTER_REPLY:
            raise ProtocolError(f"{kind.name} before REPLY")
        if kind in _CHARGED:
            self._guest_window -= len(frame.payload)
            if self._guest_window < 0:
                raise ProtocolError("the guest sent more than its window")
            if kind is FrameType.DATA and frame.flags in self._ended_channels:
                raise ProtocolError("DATA after EOF")
        elif kind is FrameType.EOF:
            if frame.flags in self._ended_channels:
                raise ProtocolError("second EOF on a channel")
            self._ended_channels.add(frame.flags)
        self._keep(frame)
        self._received.set()
        if kind in _LAST or (kind is FrameType.REPLY and self._unary):
            self._end()

    def fail(self, error: AetheriumError) -> None:
        """End the stream because its connection ended; frames already here can still be received."""
        self._failure = error
        self._end()

    @property
    def may_arrive(self) -> int:
        """Bytes of payload a guest that keeps to the protocol may still have under way."""
        return self._guest_window + (HOST_WINDOW - self._host_credit) * 4 + 2 * MAX_CONTROL + 2

    def _end(self) -> None:
        self.is_open = False
        self._received.set()
        self._credited.set()

    def _keep(self, frame: Frame) -> None:
        # The window bounds bytes; a guest that sends them one by one would have the host keep a hundred times as much.
        if frame.type is FrameType.DATA and self._frames:
            place = -1
            if self._frames[-1].flags != frame.flags and len(self._frames) > _MANY_FRAMES:
                place = -2
            last = self._frames[place]
            if (
                last.type is FrameType.DATA
                and last.flags == frame.flags
                and len(last.payload) + len(frame.payload) <= _SMALL
            ):
                self._frames[place] = Frame(FrameType.DATA, self.number, last.payload + frame.payload, frame.flags)
                return
        if len(self._frames) >= _MAX_FRAMES:
            raise ProtocolError(f"more than {_MAX_FRAMES} frames in one window")
        self._frames.append(frame)

    def _on_credit(self, increment: int) -> None:
        self._host_credit += increment
        if not increment or self._host_credit > HOST_WINDOW:
            raise ProtocolError("the guest returned credit it was not given")
        self._credited.set()

    # Called by the stream's user.

    async def receive(self) -> Frame:
        """Return the next frame, giving its credit back. Raises the guest's ERROR, or GuestUnreachable."""
        while not self._frames:
            if self._failure is not None:
                raise copy(self._failure)  # each raise has a traceback of its own
            if not self.is_open:
                raise Conflict("the operation is over: there is nothing more to receive")
            self._received.clear()
            await self._received.wait()
        frame = self._frames.popleft()
        if frame.type is FrameType.ERROR:
            payload = Payload(frame.payload)
            self._failure = from_guest(payload.text("code", most=64), payload.text("message", default="", most=8192))
            raise copy(self._failure)
        if frame.type in _CHARGED:
            self._consumed += len(frame.payload)
            if self._consumed >= GUEST_WINDOW // 2 and self.is_open:
                self._guest_window += self._consumed
                self._connection.send(Frame(FrameType.WINDOW, self.number, self._consumed.to_bytes(4, "little")))
                self._consumed = 0
        return frame

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, waiting for credit and for the socket. Returns early when the guest has ended the stream."""
        if self._eof_sent:
            raise Conflict("no more can be sent after the end of the input")
        view = memoryview(data).cast("B")
        while view:
            await self._connection.drain()
            if not self.is_open:
                return
            if not self._host_credit:
                self._credited.clear()
                await self._credited.wait()
                continue
            chunk = view[: min(MAX_DATA, self._host_credit)]
            self._host_credit -= len(chunk)
            self._connection.send(Frame(FrameType.DATA, self.number, bytes(chunk)))
            view = view[len(chunk) :]

    def send_eof(self) -> None:
        """Say that no more data follows. Repeatable."""
        if self.is_open and not self._eof_sent:
            self._eof_sent = True
            self._connection.send(Frame(FrameType.EOF, self.number))

    def cancel(self) -> None:
        """Leave the stream; repeatable, and harmless after its end."""
        if self.is_open:
            self._connection.abandon(self)
        self._end()
        self._frames.clear()
