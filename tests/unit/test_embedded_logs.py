"""The two embedded log sinks, beyond what all sinks share."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from aetherium.drivers.logs import memory, stdout
from aetherium.model.config import LogFormat
from aetherium.model.errors import InvalidArgument
from aetherium.model.log import Level, LogLine
from aetherium.ports.logs import LogQuery
from aetherium.testing.logs import line


@dataclass
class Pipe:
    """A pipe in the place of standard output. Each read gives what one write of up to 4096 bytes wrote."""

    reader: int
    writer: int

    def read(self) -> bytes:
        return os.read(self.reader, 1 << 20)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe2(os.O_DIRECT))
    monkeypatch.setattr(stdout, "_DESCRIPTORS", {"stdout": pipe.writer})
    yield pipe
    os.close(pipe.reader)
    for thread in threading.enumerate():  # a stuck writer sees that its reader is gone
        if thread.name == "aetherium-log-writer":
            thread.join(20)
            assert not thread.is_alive()
    os.close(pipe.writer)


# Text


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_text_for_people(capfd: pytest.CaptureFixture[str], stream: str) -> None:
    config = stdout.Config(stream="stdout" if stream == "stdout" else "stderr")
    async with stdout.open_(config) as sink:
        await sink.append([line(0, "VM started", labels={"vm": "a"}, fields={"image": "my image", "empty": ""})])
        await sink.append([line(1, "kept", level=Level.WARNING), line(2, "dropped", level=Level.DEBUG)])
    captured = capfd.readouterr()
    written, other = (captured.out, captured.err) if stream == "stdout" else (captured.err, captured.out)
    assert written == (
        '2026-01-01T12:00:00.000000Z INFO    VM started vm=a image="my image" empty=""\n'
        "2026-01-01T12:00:01.000000Z WARNING kept\n"
    )
    assert other == ""


async def test_text_cannot_forge_a_line_or_steer_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    evil = "a\nb\r\x1b[2J\x9b1m\u2028\udcff\ttab é"
    async with stdout.open_(stdout.Config()) as sink:
        await sink.append([line(0, evil, fields={"f": 'x" y=\n'})])
    (only,) = capfd.readouterr().out.splitlines()
    assert only.endswith(r"a\nb\r\x1b[2J\x9b1m\u2028\udcff" + "\ttab é" + r' f="x\" y=\n"')


@pytest.mark.parametrize(
    ("level", "kept"),
    [(Level.DEBUG, 4), (Level.INFO, 3), (Level.WARNING, 2), (Level.ERROR, 1)],
)
async def test_lines_below_the_level_are_dropped(capfd: pytest.CaptureFixture[str], level: Level, kept: int) -> None:
    lines = [line(number, level=each) for number, each in enumerate(Level)]
    async with stdout.open_(stdout.Config(level=level)) as sink, memory.open_(memory.Config(level=level)) as other:
        await sink.append(lines)
        await other.append(lines)
        assert list(await other.query(LogQuery())) == lines[4 - kept :]
    assert len(capfd.readouterr().out.splitlines()) == kept


async def test_a_wrong_configuration_is_refused() -> None:
    for config in (stdout.Config(format="xml"), stdout.Config(stream="tty")):  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            async with stdout.open_(config):
                pass


# Pipes


async def test_a_batch_is_one_write(pipe: Pipe) -> None:
    async with stdout.open_(stdout.Config(format=LogFormat.JSON)) as sink:
        await sink.append([line(number) for number in range(20)])
        await sink.flush()
        assert pipe.read().count(b"\n") == 20


async def test_a_full_pipe_holds_nobody_up_and_the_lost_are_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdout, "_MOST_WAITING", 200_000)
    async with stdout.open_(stdout.Config()) as sink:
        started = time.monotonic()
        for number in range(2000):
            await sink.append([line(number, f"{number} " + "x" * 1000)])
        assert time.monotonic() - started < 10  # the pipe holds 64 KiB, and nobody reads
        flushing = asyncio.create_task(sink.flush())
        await asyncio.sleep(0)
        assert not flushing.done()
        os.set_blocking(pipe.reader, False)
        got = b""
        while not flushing.done():
            with suppress(BlockingIOError):
                got += pipe.read()
            await asyncio.sleep(0)
        await sink.append([line(0, "2000 after")])
        await sink.flush()
        while not got.endswith(b"after\n"):
            got += pipe.read()
    # Each loss is told in its place, with its size.
    expected, losses = 0, 0
    for text in got.decode().splitlines():
        if "log lines were lost" in text:
            losses += 1
            expected += int(text.rpartition("count=")[2])
        else:
            assert int(text.split()[2]) == expected
            expected += 1
    assert expected == 2001
    assert losses


async def test_closing_does_not_wait_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdout, "_CLOSE_S", 0.02)
    async with asyncio.timeout(20):
        async with stdout.open_(stdout.Config()) as sink:
            await sink.append([line(0, "x" * 200_000)])


async def test_a_closed_pipe_is_no_error(pipe: Pipe) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, pipe.reader)
    os.close(nothing)
    async with stdout.open_(stdout.Config()) as sink:
        for number in range(5):
            await sink.append([line(number)])
            await sink.flush()


async def test_a_pipe_that_others_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    async with stdout.open_(stdout.Config()) as sink:
        await sink.append([line(0, "x" * 500_000)])
        flushing = asyncio.create_task(sink.flush())
        got = b""
        while not got.endswith(b"\n"):
            got += await asyncio.to_thread(pipe.read)
        await flushing
    assert len(got) > 500_000


STUCK = """
import asyncio
from aetherium.drivers.logs import stdout
from aetherium.testing.logs import line
stdout._CLOSE_S = 0.02
async def main():
    async with stdout.open_(stdout.Config()) as sink:
        await sink.append([line(0, "x" * 200_000)])
asyncio.run(main())
"""


def test_a_process_whose_output_nobody_reads_still_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


# Memory


async def test_memory_is_bounded() -> None:
    async with memory.open_(memory.Config(max_lines=10)) as sink:
        await sink.append([line(number) for number in range(100)])
        assert list(await sink.query(LogQuery())) == [line(number) for number in range(90, 100)]
        lines = aiter(sink.follow(LogQuery()))
        await sink.append([line(number) for number in range(100, 200)])
        assert [await anext(lines) for _ in range(10)] == [line(number) for number in range(190, 200)]
    with pytest.raises(InvalidArgument):
        async with memory.open_(memory.Config(max_lines=0)):
            pass


async def test_a_follower_that_is_dropped_is_forgotten() -> None:
    async with memory.open_(memory.Config()) as sink:
        lines = sink.follow(LogQuery())
        await sink.append([line(0)])
        assert await anext(lines) == line(0)
        del lines
        gc.collect()
        assert not sink._followers  # type: ignore[attr-defined]


async def test_closing_ends_who_follows() -> None:
    async with memory.open_(memory.Config()) as sink:
        lines = sink.follow(LogQuery())

        async def follow() -> list[LogLine]:
            return [each async for each in lines]

        waiting = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await sink.append([line(0)])
    assert await waiting == [line(0)]
    assert [each async for each in sink.follow(LogQuery())] == [line(0)]
