"""Trees into and out of the VM come back the same; leaving in the middle leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import stat
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from aetherium.core.guest import files, tree
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.unpack import UnpackLimits
from aetherium.model.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from aetherium.model.files import TreeCount

from .conftest import DEADLINE_S, Agent, host_memory_bytes


def digest(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Return everything of a tree that a copy keeps."""
    found: dict[bytes, tuple[object, ...]] = {}
    base = os.fsencode(root)
    for directory, names, others in os.walk(base):
        for name in names + others:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[os.path.relpath(path, base)] = ("link", os.readlink(path))
            else:
                content = b"" if stat.S_ISDIR(status.st_mode) else Path(os.fsdecode(path)).read_bytes()
                kind = stat.filemode(status.st_mode)
                found[os.path.relpath(path, base)] = (kind, int(status.st_mtime), hashlib.sha256(content).digest())
    return found


def without_times_of_directories(tree: dict[bytes, tuple[object, ...]]) -> dict[bytes, tuple[object, ...]]:
    """Return what of a digest the agent keeps."""
    return {path: item[:1] if str(item[0]).startswith("d") else item for path, item in tree.items()}


def plant(root: Path) -> None:
    """Make a tree with everything in it that is easily got wrong."""
    root.mkdir()
    dice = random.Random(7)
    for size in (0, 1, 511, 512, 513, 65535, 65536, 524_287, 524_288, 524_289, 3_000_000):
        (root / f"size-{size}").write_bytes(dice.randbytes(size))
    deep = root.joinpath(*[f"level-{number:02}-{'x' * 40}" for number in range(12)])
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"bottom")
    (root / "empty").mkdir(mode=0o700)
    (root / "ways").mkdir()
    (root / "ways/to-file").symlink_to("../size-1")
    (root / "ways/dangling").symlink_to("/nowhere/" + "n" * 150)
    (root / "ways/to-directory").symlink_to("../empty")
    for name in (b"na\xffme", "naïve 名".encode(), b"with\nnewline", b"\x1b[2J", b" ", b"n" * 255, b"\xff" * 120):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    (root / "script").write_bytes(b"#!/bin/sh\n")
    (root / "script").chmod(0o755)
    (root / "private").write_bytes(b"secret")
    (root / "private").chmod(0o600)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, (0, 1_000_000_000 + number), follow_symlinks=False)


async def test_there_and_back(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "source"
    plant(source)
    os.mkfifo(source / "fifo")
    up = await tree.upload(connection, source, "copy/of/it")
    (source / "fifo").unlink()
    kept = without_times_of_directories(digest(source))
    assert without_times_of_directories(digest(agent.workdir / "copy/of/it")) == kept
    down = await tree.download(connection, "copy/of/it", tmp_path / "back/again")
    assert digest(tmp_path / "back/again") == digest(agent.workdir / "copy/of/it")
    regular = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    assert up == down == TreeCount(len(digest(source)), sum(path.stat().st_size for path in regular))


async def test_contents_are_added_to_what_is_there(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    (agent.workdir / "there").mkdir()
    (agent.workdir / "there/old").write_bytes(b"old")
    (agent.workdir / "there/both").write_bytes(b"old")
    source = tmp_path / "source"
    source.mkdir()
    (source / "both").write_bytes(b"new")
    assert await tree.upload(connection, source, "there") == TreeCount(1, 3)
    back = tmp_path / "back"
    back.mkdir()
    (back / "mine").write_bytes(b"mine")
    (back / "both").symlink_to("mine")
    assert await tree.download(connection, "there", back) == TreeCount(2, 6)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {"mine": b"mine", "old": b"old", "both": b"new"}
    assert not (back / "both").is_symlink()


@pytest.mark.parametrize(
    ("destination", "place"),
    [("b", "b"), ("b/", "b/name"), ("directory", "directory/name"), ("x/y/b", "x/y/b"), ("directory/b", "directory/b")],
)
async def test_a_file_goes_where_cp_puts_it(
    connection: GuestConnection, agent: Agent, tmp_path: Path, destination: str, place: str
) -> None:
    (agent.workdir / "directory").mkdir()
    source = tmp_path / "name"
    source.write_bytes(b"data")
    source.chmod(0o640)
    os.utime(source, (0, 1_000_000_000))
    assert await tree.upload(connection, source, destination) == TreeCount(1, 4)
    status = (agent.workdir / place).stat()
    assert (agent.workdir / place).read_bytes() == b"data"
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o640, 1_000_000_000)
    back = tmp_path / "back"
    back.mkdir()
    assert await tree.download(connection, place, back) == TreeCount(1, 4)
    assert await tree.download(connection, place, tmp_path / "new/other") == TreeCount(1, 4)
    for path in (back / Path(place).name, tmp_path / "new/other"):
        assert path.read_bytes() == b"data"
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o640, 1_000_000_000)


async def test_a_source_that_is_a_link_is_what_it_names(
    connection: GuestConnection, agent: Agent, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file-link").symlink_to("real/file")
    assert await tree.upload(connection, tmp_path / "link", "a") == TreeCount(1, 4)
    assert await tree.upload(connection, tmp_path / "file-link", "a/") == TreeCount(1, 4)
    assert sorted(os.listdir(agent.workdir / "a")) == ["file", "file-link"]
    (agent.workdir / "link").symlink_to("a")
    assert await tree.download(connection, "link", tmp_path / "back") == TreeCount(2, 8)


async def test_hard_links_come_back_as_one_file(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    (agent.workdir / "a").mkdir()
    (agent.workdir / "a/one").write_bytes(b"data")
    os.link(agent.workdir / "a/one", agent.workdir / "a/two")
    assert await tree.download(connection, "a", tmp_path / "back") == TreeCount(2, 4)
    assert (tmp_path / "back/one").samefile(tmp_path / "back/two")


async def test_what_is_not_there(connection: GuestConnection, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="missing"):
        await tree.upload(connection, tmp_path / "missing", "a")
    with pytest.raises(NotFound):
        await tree.download(connection, "missing", tmp_path / "a")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((InvalidArgument, NotFound)):
        await tree.upload(connection, tmp_path / "loop", "a")
    with pytest.raises(InvalidArgument):
        await tree.download(connection, "/dev/null", tmp_path / "a")
    assert not (tmp_path / "a").exists()


async def test_a_source_that_cannot_be_read(
    connection: GuestConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    real = os.open

    def denied(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if path == str(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionDenied, match="a': Permission denied"):
        await tree.upload(connection, tmp_path / "a", "b")


async def test_a_source_that_shrinks(
    connection: GuestConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(5_000_000))
    real = os.read

    def read(fd: int, count: int) -> bytes:
        os.truncate(tmp_path / "a", 1_000_000)
        return real(fd, count)

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(Conflict, match="became shorter"):
        await tree.upload(connection, tmp_path / "a", "b")


async def test_the_guest_refuses_in_the_middle(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    (agent.workdir / "file").write_bytes(b"")
    (tmp_path / "source").mkdir()
    (tmp_path / "source/big").write_bytes(bytes(50_000_000))
    with pytest.raises((InvalidArgument, Conflict)):
        await tree.upload(connection, tmp_path / "source", "file")
    (agent.workdir / "other/big/inner").mkdir(parents=True)
    with pytest.raises((InvalidArgument, Conflict)):
        await tree.upload(connection, tmp_path / "source", "other")


async def test_archives_as_streams(connection: GuestConnection, agent: Agent) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("d" * 60 + "/" + "f" * 90)
        info.size = 100_000
        tar.addfile(info, io.BytesIO(bytes(100_000)))
    archive = out.getvalue()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(archive), 999):
            yield archive[start : start + 999]

    assert await tree.upload_stream(connection, pieces(), "a") == TreeCount(1, 100_000)
    data = b"".join([chunk async for chunk in tree.download_stream(connection, "a")])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["d" * 60, info.name]

    async def hostile() -> AsyncIterator[bytes]:
        yield tarfile.TarInfo("../x").tobuf() + bytes(1024)

    with pytest.raises(InvalidArgument):
        await tree.upload_stream(connection, hostile(), "a")
    assert os.listdir(agent.workdir) == ["a"]


async def test_limits(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    for name in "abc":
        (agent.workdir / name).write_bytes(bytes(10))
    with pytest.raises(ResourceExhausted):
        await tree.download(connection, ".", tmp_path / "back", limits=UnpackLimits(entries=2))


async def test_big_trees_in_bounded_memory(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    size = 200 << 20
    with (source / "big").open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1024) * 1024)
    host, guest = host_memory_bytes(), agent.memory_bytes()
    assert await tree.upload(connection, source, "up") == TreeCount(1, size)
    assert await tree.download(connection, "up", tmp_path / "down") == TreeCount(1, size)
    assert host_memory_bytes() - host < 32 << 20
    assert agent.memory_bytes() - guest < 32 << 20
    with (source / "big").open("rb") as a, (tmp_path / "down/big").open("rb") as b:
        assert hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()


async def when(condition: Callable[[], bool]) -> None:
    """Return when something that only the file system shows has come true."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0)


async def test_an_upload_cancelled_in_the_middle(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "big").open("wb") as file:
        file.truncate(8 << 30)  # a hole: it takes no space, and never ends in time
    uploading = asyncio.create_task(tree.upload(connection, source, "up"))
    await when(lambda: (agent.workdir / "up").is_dir() and bool(os.listdir(agent.workdir / "up")))
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await connection.ping()
    assert (agent.workdir / "up/big").stat().st_size < 8 << 30


async def test_a_download_cancelled_in_the_middle(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    (agent.workdir / "a").mkdir()
    with (agent.workdir / "a/big").open("wb") as file:
        file.truncate(8 << 30)
    downloading = asyncio.create_task(tree.download(connection, "a", tmp_path / "down"))
    big = tmp_path / "down/big"
    await when(lambda: big.exists() and big.stat().st_size > 1_000_000)
    downloading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await downloading
    assert os.listdir(tmp_path / "down") == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await files.stat(connection, "a/big")).size == 8 << 30


async def test_many_small_files(connection: GuestConnection, agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(600):
        path = source / f"{number % 50}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    up = await tree.upload(connection, source, "up")
    down = await tree.download(connection, "up", tmp_path / "down")
    assert up == down
    assert up.entries == 650
    assert digest(tmp_path / "down") == digest(agent.workdir / "up")
    assert without_times_of_directories(digest(tmp_path / "down")) == without_times_of_directories(digest(source))
