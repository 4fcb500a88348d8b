"""The lock between processes, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aetherium._util.filelock import file_lock

HOLD = """
import asyncio, sys
from pathlib import Path
from aetherium._util.filelock import file_lock
async def main():
    async with file_lock(Path(sys.argv[1]), timeout_s=30):
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""

COUNT = """
import asyncio, sys
from pathlib import Path
from aetherium._util.filelock import file_lock
async def main():
    counter = Path(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        async with file_lock(Path(sys.argv[1]), timeout_s=50):
            number = int(counter.read_text())
            await asyncio.sleep(0)
            counter.write_text(str(number + 1))
asyncio.run(main())
"""


def spawn(code: str, *args: object) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def held_by(path: Path) -> subprocess.Popen[bytes]:
    holder = spawn(HOLD, path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


async def take(path: Path, timeout_s: float) -> None:
    async with file_lock(path, timeout_s=timeout_s):
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


async def test_processes_and_tasks_exclude_each_other(path: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    with spawn(COUNT, path, counter, 200) as one, spawn(COUNT, path, counter, 200) as other:

        async def count() -> None:
            for _ in range(100):
                async with file_lock(path, timeout_s=50):
                    number = int(counter.read_text())
                    await asyncio.sleep(0)
                    counter.write_text(str(number + 1))

        await asyncio.gather(count(), count())
    assert (one.returncode, other.returncode, counter.read_text()) == (0, 0, "600")


async def test_the_kernel_frees_the_lock_of_a_killed_holder(path: Path) -> None:
    with held_by(path) as holder:
        with pytest.raises(TimeoutError):
            await take(path, 0)
        holder.send_signal(signal.SIGKILL)
        await take(path, 30)


async def test_a_child_of_the_holder_does_not_keep_the_lock(path: Path) -> None:
    async with file_lock(path, timeout_s=0):
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with process:
        await take(path, 0)
        process.stdin and process.stdin.close()


async def test_nothing_stays_behind(path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    async with file_lock(path, timeout_s=0):
        with pytest.raises(TimeoutError):
            await take(path, 0.02)
        waiting = asyncio.create_task(take(path, 60))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert os.listdir("/proc/self/fd") == before
    assert not path.exists()


async def test_a_file_that_a_dead_holder_left_is_no_lock(path: Path) -> None:
    path.touch(0o600)
    await take(path, 0)
    assert not path.exists()


async def test_who_lost_their_file_leaves_the_next_holders_alone(path: Path) -> None:
    async with file_lock(path, timeout_s=0):
        path.unlink()  # by a person tidying up
        with held_by(path) as holder:
            pass
        holder = held_by(path)
    try:
        with pytest.raises(TimeoutError):
            await take(path, 0)
    finally:
        holder.communicate()
    assert not path.exists()


async def test_the_lock_is_released_even_when_its_directory_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "locks"
    directory.mkdir()
    before = os.listdir("/proc/self/fd")
    async with file_lock(directory / "x.lock", timeout_s=0):
        (directory / "x.lock").unlink()
        directory.rmdir()
    assert os.listdir("/proc/self/fd") == before


async def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await take(tmp_path / "none" / "x.lock", 5)
