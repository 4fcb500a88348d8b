"""TCP into a VM: one connection, or a port of the host whose connections are carried into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aetherium.core.guest.client import replied
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.stream import Stream
from aetherium.model.errors import AetheriumError, InvalidArgument, Unavailable
from aetherium.protocol.frames import MAX_DATA, Frame, FrameType, ProtocolError


class Tunnel:
    """A TCP connection to something in a VM. One reader and one writer may use it at the same time."""

    def __init__(self, connection: GuestConnection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._is_read = False
        self._is_written = False

    async def read(self) -> bytes:
        """Return the next bytes; empty when the other side sends no more. Unavailable when the connection was cut."""
        if self._is_read:
            return b""
        frame = await self._receive()
        if frame.type is FrameType.END:
            raise Unavailable("the connection was cut")
        return frame.payload

    async def wait_closed(self) -> None:
        """Return when both directions have ended and the other side has taken everything; drops what it still sends."""
        while (await self._receive()).type is not FrameType.END:
            pass

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, waiting while the other side does not take them. Unavailable when the connection has ended."""
        if self._is_written:
            raise InvalidArgument("the tunnel's writing side was closed")
        if self._stream.is_open:
            await self._stream.send(data)
        if not self._stream.is_open:
            raise Unavailable("the other side closed the connection")

    def close_write(self) -> None:
        """Say that no more bytes follow; reading goes on. Repeatable."""
        if not self._is_written:
            self._is_written = True
            self._stream.send_eof()

    async def _receive(self) -> Frame:
        with self._connection.distrust():
            frame = await self._stream.receive()
            if frame.type not in (FrameType.DATA, FrameType.EOF, FrameType.END):
                raise ProtocolError(f"{frame.type.name} in a tunnel")
            self._is_read = frame.type is not FrameType.DATA
            return frame


@asynccontextmanager
async def open_tunnel(connection: GuestConnection, port: int, host: str = "127.0.0.1") -> AsyncIterator[Tunnel]:
    """Connect to a port inside the VM. Unavailable when nothing listens there.

    Leaving cuts the connection, with what the other side has not taken yet: ``close_write`` and ``wait_closed`` first.
    """
    if not 1 <= port <= 65535:
        raise InvalidArgument(f"{port} is not a port: 1 to 65535")
    async with replied(connection, "connect", {"port": port, "host": host}) as stream:
        yield Tunnel(connection, stream)


@dataclass(frozen=True, slots=True)
class Forward:
    """Where the host listens."""

    host: str
    port: int


@asynccontextmanager
async def forward(
    connection: GuestConnection, guest_port: int, listen_host: str = "127.0.0.1", listen_port: int = 0
) -> AsyncIterator[Forward]:
    """Listen on the host (port 0: any free one) and carry each connection to a port in the VM.

    A connection for which nothing listens in the VM is closed at once. Leaving closes the listener and what it carries.
    """
    if not 1 <= guest_port <= 65535:
        raise InvalidArgument(f"{guest_port} is not a port: 1 to 65535")
    carried: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_carry(connection, guest_port, reader, writer), name=f"forward-{guest_port}")
        carried.add(task)
        task.add_done_callback(carried.discard)

    try:
        server = await asyncio.start_server(accept, listen_host, listen_port, limit=MAX_DATA)
    except OSError as error:
        raise Unavailable(
            f"cannot listen on {listen_host}:{listen_port}: {error.strerror}",
            remedy="choose another port, or 0 for any",
        ) from error
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield Forward(host, port)
    finally:
        server.close()
        for task in carried:
            task.cancel()
        if carried:
            await asyncio.wait(carried)


async def _carry(
    connection: GuestConnection, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with open_tunnel(connection, port) as tunnel, asyncio.TaskGroup() as group:
            inward = group.create_task(_inward(reader, tunnel))
            while data := await tunnel.read():
                writer.write(data)
                await writer.drain()
            writer.write_eof()
            await tunnel.wait_closed()
            inward.cancel()
        writer.close()
        await writer.wait_closed()
    except* (OSError, AetheriumError):
        pass  # either side went away; the client sees its connection end
    finally:
        writer.transport.abort()


async def _inward(reader: asyncio.StreamReader, tunnel: Tunnel) -> None:
    while data := await reader.read(MAX_DATA):
        await tunnel.write(data)
    tunnel.close_write()
