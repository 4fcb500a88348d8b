"""Reading and writing our own standard streams."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aetherium.cli.errors import OutputFailed
from aetherium.cli.streams import Writer, chunks

BIG = os.urandom(1024) * 1024
DEADLINE_S = 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        with suppress(OSError):
            os.close(fd)


async def everything(fd: int) -> bytes:
    """Read to the end."""
    return b"".join([chunk async for chunk in chunks(fd)])


async def test_bytes_arrive_whole_through_a_reader_slower_than_the_writer(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    async def send() -> None:
        await Writer(writer).write(BIG)
        os.close(writer)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        received = tasks.create_task(everything(reader))
    assert received.result() == BIG


async def test_a_reader_that_stopped_does_not_hold_up_the_loop(pipe: tuple[int, int]) -> None:
    stuck = asyncio.create_task(Writer(pipe[1]).write(BIG))
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.sleep(0)  # the task begins, fills the pipe and waits
        assert os.read(pipe[0], 1)
    assert not stuck.done()
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_nobody_reads(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(BrokenPipeError):
        await Writer(pipe[1]).write(b"x")


async def test_nobody_reads_any_more(pipe: tuple[int, int]) -> None:
    writing = asyncio.create_task(Writer(pipe[1]).write(BIG))
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.sleep(0)  # the task begins, fills the pipe and waits
        assert os.read(pipe[0], 65536)
        os.close(pipe[0])
        with pytest.raises(BrokenPipeError):
            await writing


async def test_a_full_disk() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OutputFailed, match="No space left"):
            await Writer(fd).write(b"x")
    finally:
        os.close(fd)


async def test_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        await Writer(fd).write(BIG)
        os.lseek(fd, 0, os.SEEK_SET)
        assert await everything(fd) == BIG
    finally:
        os.close(fd)


async def test_a_pipe_that_somebody_made_non_blocking(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], False)
    os.set_blocking(pipe[1], False)

    async def send() -> None:
        await Writer(pipe[1]).write(BIG)
        os.close(pipe[1])

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        received = tasks.create_task(everything(pipe[0]))
    assert received.result() == BIG
