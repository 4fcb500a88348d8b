"""A guest that does exactly what a test says, over a real socket pair."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from typing import Any, Self

from aetherium.core.guest.connection import GuestConnection
from aetherium.protocol.frames import HEADER, Frame, FrameType, encode

DEADLINE_S = 10.0
HELLO = {
    "version": 1,
    "agent": "0.1.0",
    "arch": "x86_64",
    "pid": 1,
    "uid": 0,
    "boot": "0" * 32,
    "time_ns": 1,
    "workdir": "/workspace",
    "features": [],
}


def body(fields: object) -> bytes:
    return json.dumps(fields).encode()


def reply(stream: int = 1, **fields: object) -> bytes:
    return encode(Frame(FrameType.REPLY, stream, body(fields)))


def event(stream: int = 1, **fields: object) -> bytes:
    return encode(Frame(FrameType.EVENT, stream, body(fields)))


def end(stream: int = 1, **fields: object) -> bytes:
    return encode(Frame(FrameType.END, stream, body(fields)))


def error(code: str, message: str = "", stream: int = 1) -> bytes:
    return encode(Frame(FrameType.ERROR, stream, body({"code": code, "message": message})))


def data(payload: bytes, stream: int = 1, channel: int = 0) -> bytes:
    return encode(Frame(FrameType.DATA, stream, payload, channel))


def eof(stream: int = 1, channel: int = 0) -> bytes:
    return encode(Frame(FrameType.EOF, stream, b"", channel))


def window(increment: int, stream: int = 1) -> bytes:
    return encode(Frame(FrameType.WINDOW, stream, increment.to_bytes(4, "little")))


def hello(**changes: object) -> bytes:
    return encode(Frame(FrameType.HELLO, 0, body({**HELLO, **changes})))


def table(cases: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the arguments of ``parametrize`` for a table whose first column is the case's name."""
    return {"argvalues": [case[1:] for case in cases], "ids": [case[0] for case in cases]}


class ScriptedGuest:
    """The guest's end of a socket, and the engine's connection at the other."""

    def __init__(self, sock: socket.socket, connection: GuestConnection) -> None:
        self.connection = connection
        self.sock = sock
        self._pending = b""

    @classmethod
    async def connect(cls, vm_id: str = "vm-1", *, greet: bool = True) -> Self:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: GuestConnection(vm_id), sock=ours)
        guest = cls(theirs, connection)
        if greet:
            await guest.send(hello())
            async with asyncio.timeout(DEADLINE_S):
                await connection.wait_ready()
                assert (await guest.receive()).type is FrameType.HELLO
        return guest

    async def send(self, data: bytes) -> None:
        """Send raw bytes; an engine that has closed the connection meanwhile is no failure of the guest."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.get_running_loop().sock_sendall(self.sock, data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    async def receive(self) -> Frame:
        """Return the engine's next frame."""
        header = await self._exactly(HEADER.size)
        length, stream, kind, flags, _ = HEADER.unpack(header)
        return Frame(FrameType(kind), stream, await self._exactly(length), flags)

    async def request(self) -> tuple[int, dict[str, object]]:
        """Return the stream and the fields of the engine's next request; other frames before it are dropped."""
        while (frame := await self.receive()).type is not FrameType.REQUEST:
            pass
        return frame.stream, json.loads(frame.payload)

    async def until(self, kind: FrameType) -> Frame:
        """Drop frames until one of ``kind``."""
        while (frame := await self.receive()).type is not kind:
            pass
        return frame

    async def _exactly(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            while len(self._pending) < count:
                more = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
                if not more:
                    raise EOFError
                self._pending += more
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    async def close(self) -> None:
        self.sock.close()
        async with asyncio.timeout(DEADLINE_S):
            await self.connection.close()
