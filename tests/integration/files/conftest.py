"""The real guest agent as a plain process, and the engine's connection to it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aetherium._util.guest_binary import guest_agent
from aetherium.core.guest.connection import GuestConnection
from aetherium.testing.requirements import requires

DEADLINE_S = 20.0


@dataclass
class Agent:
    """A running agent. ``workdir`` is where its relative paths start."""

    socket_path: Path
    workdir: Path
    process: subprocess.Popen[bytes]

    def memory_bytes(self) -> int:
        """Return the agent's resident memory."""
        return _resident(self.process.pid)

    def descriptors(self) -> int:
        """Return how many descriptors the agent holds; 0 for an ordinary user, whom the agent lets not look."""
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except PermissionError:
            assert os.geteuid() != 0
            return 0


def _resident(pid: int | str) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def host_memory_bytes() -> int:
    """Return this process's resident memory."""
    return _resident("self")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent of this test's own."""
    try:
        binary = guest_agent()
    except FileNotFoundError as error:
        requires("guest", unmet=str(error))
        raise
    workdir = tmp_path / "guest"
    workdir.mkdir()
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        process = subprocess.Popen(
            [binary, "serve", "--listen-fd", str(listener.fileno()), "--workdir", workdir],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Agent(path, workdir, process)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(DEADLINE_S)


@pytest.fixture
async def connection(agent: Agent) -> AsyncIterator[GuestConnection]:
    """A connection that still answers in the end, with nothing left of the test in this process."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())  # what other tests of this worker left is not this one's
    _, connection = await loop.create_unix_connection(lambda: GuestConnection("vm-1"), str(agent.socket_path))
    async with asyncio.timeout(DEADLINE_S):
        await connection.wait_ready()
        descriptors = agent.descriptors()
    yield connection
    async with asyncio.timeout(DEADLINE_S):
        await connection.ping()
    assert agent.descriptors() <= descriptors
    await connection.close()
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not unhandled
    assert len(os.listdir("/proc/self/fd")) <= before
    begun = [thread.name for thread in set(threading.enumerate()) - threads]
    assert [name for name in begun if not name.startswith("asyncio_")] == []
