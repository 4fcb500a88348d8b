"""Every function on single files, against the real agent."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aetherium.core.guest import files
from aetherium.core.guest.connection import GuestConnection
from aetherium.model.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from aetherium.model.files import ChangeType, FileChange, FileType

from .conftest import DEADLINE_S, Agent, host_memory_bytes

STRANGE = ["naïve 名", "na\udcffme\udc80", "with\nnewline", "-rf", " ", "\x1b[31m", "x" * 250]


async def read_all(connection: GuestConnection, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in files.read(connection, path, offset=offset, length=length)])


async def test_write_and_read(connection: GuestConnection, agent: Agent) -> None:
    assert await files.write(connection, "a", b"hello", mode=0o640) == 5
    assert (agent.workdir / "a").read_bytes() == b"hello"
    assert stat.S_IMODE((agent.workdir / "a").stat().st_mode) == 0o640
    assert await files.write(connection, "a", b" world", append=True) == 6
    assert await read_all(connection, "a") == b"hello world"
    assert await read_all(connection, "a", offset=6) == b"world"
    assert await read_all(connection, "a", offset=3, length=4) == b"lo w"
    assert await read_all(connection, "a", offset=100) == b""
    assert await read_all(connection, "a", length=0) == b""
    assert await files.write(connection, "deep/er/b", b"", parents=True) == 0
    assert await read_all(connection, str(agent.workdir / "deep/er/b")) == b""
    with pytest.raises(NotFound):
        await files.write(connection, "missing/b", b"x")


async def test_write_from_pieces(connection: GuestConnection, agent: Agent) -> None:
    async def pieces() -> AsyncIterator[bytes | memoryview]:
        for number in range(1000):
            yield b"%d," % number
            yield memoryview(b"")

    count = await files.write(connection, "a", pieces())
    expected = b"".join(b"%d," % number for number in range(1000))
    assert (agent.workdir / "a").read_bytes() == expected
    assert count == len(expected)


async def test_a_write_that_fails_leaves_the_old_file(connection: GuestConnection, agent: Agent) -> None:
    await files.write(connection, "a", b"old")

    async def broken() -> AsyncIterator[bytes]:
        yield b"new" * 100_000
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await files.write(connection, "a", broken())
    await connection.ping()
    assert (agent.workdir / "a").read_bytes() == b"old"
    assert os.listdir(agent.workdir) == ["a"]


@pytest.mark.parametrize("name", STRANGE)
async def test_strange_names(connection: GuestConnection, agent: Agent, name: str) -> None:
    await files.write(connection, name, b"data")
    assert os.listdir(os.fsencode(agent.workdir)) == [os.fsencode(name)]
    [entry] = [entry async for entry in files.list_directory(connection, ".")]
    assert (entry.name, entry.type, entry.size) == (name, FileType.FILE, 4)
    assert (await files.stat(connection, name)).name == name
    await files.move(connection, name, name[:100] + "2")
    assert await read_all(connection, name[:100] + "2") == b"data"
    await files.remove(connection, name[:100] + "2")
    assert not os.listdir(agent.workdir)


async def test_stat(connection: GuestConnection, agent: Agent) -> None:
    path = agent.workdir / "a"
    path.write_bytes(b"12345")
    path.chmod(0o4751)
    os.utime(path, ns=(0, 1_500_000_000_250_000_000))
    (agent.workdir / "link").symlink_to("a")
    os.mkfifo(agent.workdir / "pipe")
    entry = await files.stat(connection, "a")
    assert (entry.name, entry.type, entry.size, entry.mode) == ("a", FileType.FILE, 5, 0o4751)
    assert (entry.uid, entry.gid) == (os.geteuid(), os.getegid())
    assert entry.modified_at == datetime.fromtimestamp(1_500_000_000.25, UTC)
    assert (await files.stat(connection, "link")).type is FileType.FILE
    link = await files.stat(connection, "link", follow=False)
    assert (link.type, link.target) == (FileType.SYMLINK, "a")
    assert (await files.stat(connection, "pipe")).type is FileType.FIFO
    assert (await files.stat(connection, "/")).type is FileType.DIRECTORY
    with pytest.raises(NotFound):
        await files.stat(connection, "missing")
    with pytest.raises(InvalidArgument):
        await files.stat(connection, "a/b")


async def test_list_directory(connection: GuestConnection, agent: Agent) -> None:
    assert [entry async for entry in files.list_directory(connection, ".")] == []
    names = {f"file-{number:04}" for number in range(5_000)}
    for name in names:
        (agent.workdir / name).touch()
    assert {entry.name async for entry in files.list_directory(connection, ".")} == names
    listing = files.list_directory(connection, str(agent.workdir))
    async for _ in listing:
        break
    await listing.aclose()
    with pytest.raises(InvalidArgument):
        await anext(files.list_directory(connection, "file-0001"))
    with pytest.raises(NotFound):
        await anext(files.list_directory(connection, "missing"))


async def test_directories(connection: GuestConnection, agent: Agent) -> None:
    await files.make_directory(connection, "a", mode=0o700)
    assert stat.S_IMODE((agent.workdir / "a").stat().st_mode) == 0o700
    with pytest.raises(AlreadyExists):
        await files.make_directory(connection, "a")
    await files.make_directory(connection, "a/b/c", parents=True)
    await files.make_directory(connection, "a/b/c", parents=True)
    with pytest.raises(NotFound):
        await files.make_directory(connection, "x/y")
    with pytest.raises(Conflict):
        await files.remove(connection, "a")
    await files.remove(connection, "a", recursive=True)
    with pytest.raises(NotFound):
        await files.remove(connection, "a")
    await files.remove(connection, "a", missing_ok=True)
    assert not os.listdir(agent.workdir)


async def test_move_and_chmod(connection: GuestConnection, agent: Agent) -> None:
    await files.write(connection, "a", b"a")
    await files.write(connection, "b", b"b")
    await files.move(connection, "a", "b")
    assert (agent.workdir / "b").read_bytes() == b"a"
    await files.chmod(connection, "b", 0o7123)
    assert stat.S_IMODE((agent.workdir / "b").stat().st_mode) == 0o7123
    with pytest.raises(NotFound):
        await files.chmod(connection, "a", 0o600)
    with pytest.raises(NotFound):
        await files.move(connection, "a", "c")


@pytest.mark.parametrize("path", ["", "a\0b", "\0", "\ud800"])
async def test_impossible_paths(connection: GuestConnection, path: str) -> None:
    for call in (files.stat(connection, path), files.write(connection, path, b""), files.chmod(connection, path, 0)):
        with pytest.raises(InvalidArgument):
            await call
    with pytest.raises(InvalidArgument):
        files.watch(connection, path)


async def test_impossible_numbers(connection: GuestConnection) -> None:
    with pytest.raises(InvalidArgument):
        await files.chmod(connection, "a", 0o10000)
    with pytest.raises(InvalidArgument):
        await read_all(connection, "a", offset=-1)
    with pytest.raises(InvalidArgument):
        await read_all(connection, "a", length=-1)


async def test_a_big_file_in_bounded_memory(connection: GuestConnection, agent: Agent) -> None:
    size = 256 << 20
    piece = bytes(range(256)) * 4096

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    host, guest = host_memory_bytes(), agent.memory_bytes()
    assert await files.write(connection, "big", pieces()) == size
    total = 0
    async for chunk in files.read(connection, "big"):
        total += len(chunk)
    assert total == size
    assert host_memory_bytes() - host < 32 << 20
    assert agent.memory_bytes() - guest < 32 << 20


async def test_a_read_left_in_the_middle(connection: GuestConnection, agent: Agent) -> None:
    (agent.workdir / "big").write_bytes(bytes(50_000_000))
    reading = files.read(connection, "big")
    async for _ in reading:
        break
    await reading.aclose()
    assert await read_all(connection, "big", length=5) == bytes(5)


async def test_a_write_cancelled_in_the_middle(connection: GuestConnection, agent: Agent) -> None:
    halfway = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)
            halfway.set()

    writing = asyncio.create_task(files.write(connection, "a", endless()))
    async with asyncio.timeout(DEADLINE_S):
        await halfway.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await connection.ping()
    assert not os.listdir(agent.workdir)


async def test_watch(connection: GuestConnection, agent: Agent) -> None:
    async with asyncio.timeout(DEADLINE_S), files.watch(connection, ".", recursive=True) as changes:
        (agent.workdir / "a").write_bytes(b"x")
        change = await anext(changes)
        assert (change.type, change.path) == (ChangeType.CREATED, "a")
        (agent.workdir / "a").rename(agent.workdir / "b\udcff")
        moved = [change async for change in until(changes, ChangeType.MOVED_TO)]
        assert [change.path for change in moved[-2:]] == ["a", "b\udcff"]
        assert moved[-2].type is ChangeType.MOVED_FROM
        assert moved[-2].cookie == moved[-1].cookie is not None
        (agent.workdir / "dir").mkdir()
        async for _ in until(changes, ChangeType.CREATED):
            pass
        await connection.ping()
        (agent.workdir / "dir/inner").touch()
        created = [change async for change in until(changes, ChangeType.CREATED)]
        assert created[-1].path == "dir/inner"
        (agent.workdir / "dir/inner").unlink()
        removed = [change async for change in until(changes, ChangeType.REMOVED)]
        assert removed[-1].path == "dir/inner"


async def test_watch_without_async_with(connection: GuestConnection, agent: Agent) -> None:
    changes = files.watch(connection, str(agent.workdir))
    await changes.__aenter__()
    (agent.workdir / "a").touch()
    async with asyncio.timeout(DEADLINE_S):
        async for change in changes:
            assert change.path == "a"
            break
    await changes.aclose()
    await changes.aclose()
    with pytest.raises(NotFound):
        await anext(files.watch(connection, "missing"))


async def until(changes: files.Watch, kind: ChangeType) -> AsyncIterator[FileChange]:
    """Yield changes up to one of ``kind``."""
    async for change in changes:
        yield change
        if change.type is kind:
            return


async def test_a_path_outside_the_work_directory(connection: GuestConnection, tmp_path: Path) -> None:
    await files.write(connection, str(tmp_path / "elsewhere"), b"x")
    assert (tmp_path / "elsewhere").read_bytes() == b"x"
