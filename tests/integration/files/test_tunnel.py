"""TCP into the VM, against the real agent and real servers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.tunnel import forward, open_tunnel
from aetherium.model.errors import GuestUnreachable, InvalidArgument, Unavailable

from .conftest import DEADLINE_S

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    """Serve TCP on a free port; the agent shares the host's network in these tests."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(handle(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield listener.sockets[0].getsockname()[1]
            if tasks:
                await asyncio.gather(*tasks)
    finally:
        listener.close()
        for task in tasks:
            task.cancel()


async def echo_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    received = await reader.read()
    writer.write(received[::-1])
    await writer.drain()


async def test_tunnel(connection: GuestConnection) -> None:
    async with server(echo_to_the_end) as port, open_tunnel(connection, port) as tunnel:
        await tunnel.write(b"hello ")
        await tunnel.write(b"world")
        tunnel.close_write()
        tunnel.close_write()
        received = b""
        while data := await tunnel.read():
            received += data
        assert received == b"dlrow olleh"
        assert await tunnel.read() == b""
        await tunnel.wait_closed()
        with pytest.raises(InvalidArgument):
            await tunnel.write(b"more")


async def test_a_name_and_no_listener(connection: GuestConnection) -> None:
    async with server(echo_to_the_end) as port, open_tunnel(connection, port, "localhost") as tunnel:
        tunnel.close_write()
        assert await tunnel.read() == b""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as caught:
            async with open_tunnel(connection, taken.getsockname()[1]):
                pass
        assert not isinstance(caught.value, GuestUnreachable)
    with pytest.raises(InvalidArgument):
        async with open_tunnel(connection, 0):
            pass


async def test_much_both_ways_at_once(connection: GuestConnection) -> None:
    size = 8 << 20

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async with server(mirror) as port, forward(connection, port) as place:
        reader, writer = await asyncio.open_connection(place.host, place.port)

        async def send() -> None:
            for _ in range(size // 65536):
                writer.write(bytes(65536))
                await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            received = group.create_task(reader.read())
        assert len(received.result()) == size
        writer.close()
        await writer.wait_closed()


async def test_forward_many_at_once(connection: GuestConnection) -> None:
    async with server(echo_to_the_end) as port, forward(connection, port) as place:

        async def ask(number: int) -> bytes:
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(b"%d" % number)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        answers = await asyncio.gather(*map(ask, range(100)))
        assert answers == [(b"%d" % number)[::-1] for number in range(100)]


async def test_what_the_client_sent_last_arrives(connection: GuestConnection) -> None:
    """A client that writes and closes without reading must not lose what it wrote."""
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        arrived.set_result(await reader.read())

    async with server(keep) as port, forward(connection, port) as place:
        _, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(bytes(3_000_000))
        writer.close()
        await writer.wait_closed()
        assert len(await arrived) == 3_000_000


async def test_nothing_listens_behind_a_forward(connection: GuestConnection) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with asyncio.timeout(DEADLINE_S), forward(connection, taken.getsockname()[1]) as place:
            reader, writer = await asyncio.open_connection(place.host, place.port)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()


async def test_a_reset_in_the_vm_cuts_the_client(connection: GuestConnection) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with server(reset) as port, forward(connection, port) as place:
        reader, writer = await asyncio.open_connection(place.host, place.port)
        writer.write(b"x")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_leaving_cuts_what_is_carried(connection: GuestConnection) -> None:
    ended = asyncio.Event()

    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        with suppress(ConnectionResetError):
            await reader.read()
        ended.set()

    async with server(idle) as port:
        async with forward(connection, port) as place:
            reader, writer = await asyncio.open_connection(place.host, place.port)
            assert await reader.readexactly(5) == b"hello"
        await ended.wait()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(place.host, place.port)


async def test_a_port_that_is_taken(connection: GuestConnection) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Unavailable, match="cannot listen"):
            async with forward(connection, 80, listen_port=taken.getsockname()[1]):
                pass
