"""One stream of a guest connection: frames in, bytes out, credit both ways."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aetherium.model.errors import AetheriumError
from aetherium.protocol.codes import from_guest
from aetherium.protocol.frames import GUEST_WINDOW, HOST_WINDOW, MAX_DATA, Frame, FrameType, ProtocolError
from aetherium.protocol.payload import Payload

if TYPE_CHECKING:
    from aetherium.core.guest.connection import GuestConnection

_CHARGED = frozenset({FrameType.DATA, FrameType.EVENT})
_AFTER_REPLY = frozenset({FrameType.DATA, FrameType.EOF})
_LAST = frozenset({FrameType.ERROR, FrameType.END})


class Stream:
    """A stream the host opened. ``receive`` until a frame of type END (or REPLY, if unary), or leave by ``cancel``.

    What waits here unread is bounded by the window the guest was granted.
    """

    def __init__(self, connection: GuestConnection, number: int, *, unary: bool) -> None:
        self.number = number
        self.is_open = True
        self._connection = connection
        self._unary = unary
        self._frames: deque[Frame] = deque()
        self._failure: AetheriumError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._guest_window = GUEST_WINDOW
        self._consumed = 0
        self._host_credit = HOST_WINDOW
        self._credit_waiter: asyncio.Future[None] | None = None
        self._replied = False
        self._ended_channels: set[int] = set()

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
        self._frames.append(frame)
        if kind in _LAST or (kind is FrameType.REPLY and self._unary):
            self.is_open = False
        _wake(self._waiter)

    def fail(self, error: AetheriumError) -> None:
        """End the stream because its connection ended; frames already here can still be received."""
        self.is_open = False
        self._failure = error
        _wake(self._waiter)
        _wake(self._credit_waiter)

    def _on_credit(self, increment: int) -> None:
        self._host_credit += increment
        if not increment or self._host_credit > HOST_WINDOW:
            raise ProtocolError("the guest returned credit it was not given")
        _wake(self._credit_waiter)

    # Called by the stream's user.

    async def receive(self) -> Frame:
        """Return the next frame, giving its credit back. Raises the guest's ERROR, or GuestUnreachable."""
        while not self._frames:
            if self._failure is not None:
                raise self._failure
            if not self.is_open:
                raise ProtocolError("the stream is over")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frame = self._frames.popleft()
        if frame.type is FrameType.ERROR:
            payload = Payload(frame.payload)
            raise from_guest(payload.text("code", most=64), payload.text("message", default="", most=8192))
        if frame.type in _CHARGED:
            self._consumed += len(frame.payload)
            if self._consumed >= GUEST_WINDOW // 2 and self.is_open:
                self._guest_window += self._consumed
                self._connection.send(Frame(FrameType.WINDOW, self.number, self._consumed.to_bytes(4, "little")))
                self._consumed = 0
        return frame

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, waiting for credit and for the socket. Returns early when the guest has ended the stream."""
        view = memoryview(data)
        while view and self.is_open:
            await self._connection.drain()
            if not self._host_credit:
                self._credit_waiter = asyncio.get_running_loop().create_future()
                try:
                    await self._credit_waiter
                finally:
                    self._credit_waiter = None
                continue
            chunk = view[: min(MAX_DATA, self._host_credit)]
            self._host_credit -= len(chunk)
            self._connection.send(Frame(FrameType.DATA, self.number, bytes(chunk)))
            view = view[len(chunk) :]

    def send_eof(self) -> None:
        """Say that no more data follows."""
        if self.is_open:
            self._connection.send(Frame(FrameType.EOF, self.number))

    def cancel(self) -> None:
        """Leave the stream; repeatable, and harmless after its end."""
        if self.is_open:
            self.is_open = False
            self._connection.abandon(self)
        self._frames.clear()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
