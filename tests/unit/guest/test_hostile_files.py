"""A hostile guest answering file operations: nothing it says leads the host astray."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aetherium.core.guest import files, tree
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.tunnel import Tunnel, forward, open_tunnel
from aetherium.core.guest.unpack import UnpackLimits
from aetherium.model.errors import AetheriumError, GuestUnreachable, InvalidArgument, ResourceExhausted, Unavailable
from aetherium.protocol.frames import HOST_WINDOW, FrameType

from .scripted import DEADLINE_S, ScriptedGuest, data, end, eof, error, event, reply, table

pytestmark = pytest.mark.usefixtures("bystander")
ENTRY: dict[str, Any] = {"name": "a", "type": "file", "size": 1, "mode": 420, "uid": 0, "gid": 0, "mtime_ns": 1}


async def stat(connection: GuestConnection) -> object:
    return await files.stat(connection, "a")


async def listing(connection: GuestConnection) -> object:
    return [entry async for entry in files.list_directory(connection, "a")]


async def reading(connection: GuestConnection) -> object:
    return [chunk async for chunk in files.read(connection, "a", length=3)]


async def writing(connection: GuestConnection) -> object:
    return await files.write(connection, "a", b"123")


async def watching(connection: GuestConnection) -> object:
    async with files.watch(connection, "a") as changes:
        return await anext(changes)


async def uploading(connection: GuestConnection) -> object:
    async def nothing() -> AsyncIterator[bytes]:
        yield b"x"

    return await tree.upload_stream(connection, nothing(), "a")


async def downloading(connection: GuestConnection) -> object:
    return [chunk async for chunk in tree.download_stream(connection, "a")]


async def tunnelling(connection: GuestConnection) -> object:
    async with open_tunnel(connection, 80) as tunnel:
        return await tunnel.read()


BREACHES: list[tuple[str, Callable[[GuestConnection], Awaitable[object]], bytes, str]] = [
    ("entry without fields", stat, reply(), "'type' is not a string"),
    ("unknown kind of file", stat, reply(**{**ENTRY, "type": "portal"}), "unknown type of a file"),
    ("negative size", stat, reply(**{**ENTRY, "size": -1}), "'size' is not an integer"),
    ("mode with more bits", stat, reply(**{**ENTRY, "mode": 0o10000}), "'mode' is not an integer"),
    ("owner beyond 32 bits", stat, reply(**{**ENTRY, "uid": 2**32}), "'uid' is not an integer"),
    ("target no string", stat, reply(**ENTRY, target=5), "'target' is not a string"),
    ("a name with a slash", listing, event(**{**ENTRY, "name": "../../etc/passwd"}), "name that no entry can have"),
    ("a name that leads up", listing, event(**{**ENTRY, "name": ".."}), "name that no entry can have"),
    ("a name that is here", listing, event(**{**ENTRY, "name": "."}), "name that no entry can have"),
    ("an empty name", listing, event(**{**ENTRY, "name": ""}), "name that no entry can have"),
    ("an endless name", listing, event(**{**ENTRY, "name": "n" * 16385}), "at most 16384 characters"),
    ("a hidden slash", listing, event(**{**ENTRY, "name": "\0YS9i"}), "name that no entry can have"),
    ("DATA in a list", listing, reply() + data(b"x"), "DATA in the answer to dir"),
    ("more bytes than asked for", reading, reply(size=9) + data(b"1234"), "more bytes of a file"),
    ("fewer bytes than said", reading, reply(size=9) + data(b"12") + end(bytes=3), "another number of bytes"),
    ("EVENT in a file", reading, reply(size=9) + event(), "EVENT in a file's bytes"),
    ("END before REPLY", reading, end(bytes=0), "END instead of REPLY"),
    ("written before it was sent", writing, reply() + end(bytes=3), "END before all the data was sent"),
    ("REPLY to nothing", writing, event(), "EVENT instead of REPLY"),
    ("unpacked before it was sent", uploading, reply() + end(entries=1, bytes=1), "END before all"),
    ("EVENT in an archive", downloading, reply() + event(), "EVENT in an archive"),
    ("END of a watch", watching, reply() + end(), "END among changes"),
    ("an unknown change", watching, reply() + event(type="exploded", path="a"), "unknown type of a change"),
    ("a cookie beyond 32 bits", watching, reply() + event(type="created", path="a", cookie=2**32), "'cookie'"),
    ("a second REPLY in a tunnel", tunnelling, reply() + reply(), "second REPLY"),
    ("an EVENT in a tunnel", tunnelling, reply() + event(), "EVENT in a tunnel"),
]


@pytest.mark.parametrize(("ask", "answer", "message"), **table(BREACHES))
async def test_a_breach_in_an_answer(
    guest: ScriptedGuest, ask: Callable[[GuestConnection], Awaitable[object]], answer: bytes, message: str
) -> None:
    asked = asyncio.ensure_future(ask(guest.connection))
    await guest.request()
    await guest.send(answer)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(GuestUnreachable) as caught:
            await asked
    assert message in caught.value.message
    assert not guest.connection.is_open


async def test_a_write_that_was_short(guest: ScriptedGuest) -> None:
    asked = asyncio.create_task(files.write(guest.connection, "a", b"123"))
    await guest.request()
    await guest.send(reply())
    await guest.until(FrameType.EOF)
    await guest.send(end(bytes=2))
    with pytest.raises(GuestUnreachable, match="another number"):
        await asked


async def test_an_endless_stream_of_events_waits_for_its_reader(guest: ScriptedGuest) -> None:
    changes = files.watch(guest.connection, "a")
    opening = asyncio.create_task(changes.__aenter__())
    await guest.request()
    one = event(type="modified", path="x" * 1000)
    await guest.send(reply() + one)
    await opening
    assert (await anext(changes)).path == "x" * 1000
    for _ in range(3000):  # three windows, each returned as it was read
        await guest.send(one)
        await anext(changes)
    await changes.aclose()
    assert (await guest.until(FrameType.CANCEL)).stream == 1


async def test_a_write_refused_in_the_middle_stops_at_once(guest: ScriptedGuest) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(65536)

    asked = asyncio.create_task(files.write(guest.connection, "a", endless()))
    await guest.request()
    await guest.send(reply())
    await guest.until(FrameType.DATA)
    await guest.send(error("no_space", "disk full"))
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ResourceExhausted, match="disk full"):
            await asked
    assert given * 65536 <= HOST_WINDOW + 2 * 65536


def archive(*names: str, kind: bytes = tarfile.REGTYPE, size: int = 4) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


async def download(
    guest: ScriptedGuest, destination: Path, kind: str, content: bytes, *, finish: bool = True
) -> AetheriumError:
    """Let a guest answer a download with ``content`` and return the error."""
    asked = asyncio.create_task(
        tree.download(guest.connection, "source/name", destination, limits=UnpackLimits(bytes=1 << 20))
    )
    await guest.request()
    await guest.send(reply(**{**ENTRY, "type": kind}))
    stream, _ = await guest.request()
    await guest.send(
        reply(stream) + b"".join(data(content[at : at + 60_000], stream) for at in range(0, len(content), 60_000))
    )
    if finish:
        await guest.send(eof(stream) + end(stream, entries=1, bytes=1))
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(AetheriumError) as caught:
            await asked
    return caught.value


async def test_a_download_cannot_lead_out(guest: ScriptedGuest, tmp_path: Path) -> None:
    caught = await download(guest, tmp_path / "in", "directory", archive("../out"))
    assert isinstance(caught, InvalidArgument)
    assert "'../out'" in caught.message
    assert guest.connection.is_open
    assert os.listdir(tmp_path) == ["in"]


async def test_a_download_of_one_file_brings_no_others(guest: ScriptedGuest, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_bytes(b"mine")
    caught = await download(guest, tmp_path / "new", "file", archive("name", ".bashrc"))
    assert isinstance(caught, InvalidArgument)
    assert (tmp_path / ".bashrc").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == [".bashrc", "new"]


async def test_a_download_of_one_file_takes_its_name_from_the_host(guest: ScriptedGuest, tmp_path: Path) -> None:
    asked = asyncio.create_task(tree.download(guest.connection, "source/name", tmp_path))
    await guest.request()
    await guest.send(reply(**{**ENTRY, "name": "../evil"}))
    stream, _ = await guest.request()
    await guest.send(reply(stream) + data(archive("../evil"), stream) + eof(stream) + end(stream))
    assert (await asked).entries == 1
    assert os.listdir(tmp_path) == ["name"]


async def test_a_download_that_is_too_large(guest: ScriptedGuest, tmp_path: Path) -> None:
    caught = await download(guest, tmp_path / "in", "directory", archive("a", size=1 << 21)[:600_000], finish=False)
    assert isinstance(caught, ResourceExhausted)


@pytest.mark.parametrize("kind", ["fifo", "socket", "char", "block", "symlink"])
async def test_a_download_of_something_else(guest: ScriptedGuest, tmp_path: Path, kind: str) -> None:
    asked = asyncio.create_task(tree.download(guest.connection, "a", tmp_path / "a"))
    await guest.request()
    await guest.send(reply(**{**ENTRY, "type": kind}))
    with pytest.raises(InvalidArgument, match=f"cannot download a {kind}"):
        await asked
    assert os.listdir(tmp_path) == []


async def test_a_connection_lost_in_a_download_leaves_no_half_file(guest: ScriptedGuest, tmp_path: Path) -> None:
    asked = asyncio.create_task(tree.download(guest.connection, "a", tmp_path / "in"))
    await guest.request()
    await guest.send(reply(**{**ENTRY, "type": "directory"}))
    stream, _ = await guest.request()
    await guest.send(reply(stream) + data(archive("big", size=900_000)[:60_000], stream))
    for start in range(60_000, 720_000, 60_000):
        await guest.send(data(archive("big", size=900_000)[start : start + 60_000], stream))
    guest.sock.close()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(GuestUnreachable):
            await asked
    assert os.listdir(tmp_path / "in") == []


async def test_an_upload_to_a_guest_that_never_reads_can_be_left(guest: ScriptedGuest, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1 << 30)
    asked = asyncio.create_task(tree.upload(guest.connection, tmp_path / "big", "there/"))
    stream, _ = await guest.request()
    await guest.send(reply(stream))
    for _ in range(4):
        await guest.until(FrameType.DATA)
    asked.cancel()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert guest.connection.is_open
    assert (await guest.until(FrameType.CANCEL)).stream == stream


@asynccontextmanager
async def open_tunnel_at(guest: ScriptedGuest) -> AsyncIterator[Tunnel]:
    """Open a tunnel and have the guest agree."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_agree(guest))
        async with open_tunnel(guest.connection, 80) as tunnel:
            yield tunnel


async def _agree(guest: ScriptedGuest) -> None:
    await guest.request()
    await guest.send(reply())


async def test_a_tunnel_whose_other_side_goes_away(guest: ScriptedGuest) -> None:
    async with open_tunnel_at(guest) as tunnel:
        await guest.send(error("unavailable", "connection reset"))
        with pytest.raises(Unavailable, match="connection reset"):
            await tunnel.read()
        with pytest.raises(Unavailable):
            await tunnel.write(b"x")


async def test_a_tunnel_cut_without_its_end(guest: ScriptedGuest) -> None:
    async with open_tunnel_at(guest) as tunnel:
        await guest.send(data(b"last") + end())
        assert await tunnel.read() == b"last"
        with pytest.raises(Unavailable, match="cut"):
            await tunnel.read()


async def test_a_forward_outlives_its_guest(guest: ScriptedGuest) -> None:
    async with forward(guest.connection, 80) as place:
        reader, writer = await asyncio.open_connection(place.host, place.port)
        await guest.request()
        await guest.send(reply())
        guest.sock.close()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        late, writer = await asyncio.open_connection(place.host, place.port)
        async with asyncio.timeout(DEADLINE_S):
            assert await late.read() == b""
        writer.close()
