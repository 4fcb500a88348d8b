"""Fuzz a whole connection with what a guest may send: ``python tests/fuzz/fuzz_connection.py -max_total_time=20``."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # not installed everywhere, and without types

with atheris.instrument_imports(include=["aetherium"]):
    from aetherium.core.guest import files
    from aetherium.core.guest.client import list_execs, metrics
    from aetherium.core.guest.connection import GuestConnection
    from aetherium.core.guest.process import Process
    from aetherium.model.command import Command, ExitStatus
    from aetherium.model.errors import AetheriumError
    from aetherium.protocol.frames import GUEST_WINDOW, HEADER, MAX_CONTROL

HELLO = {"version": 1, "agent": "a", "arch": "x", "pid": 1, "uid": 0, "boot": "b", "features": []}
ENTRY = {"name": "a", "type": "file", "size": 1, "mode": 1, "uid": 0, "gid": 0, "mtime_ns": 1}
END = {"exit_code": 0, "duration_ns": 1, "bytes": 1}
EXEC = {"id": "a", "argv": ["a"], "state": "exited", "exit_code": 1, "pid": 1, "stdout_bytes": 0, "stderr_bytes": 0}
OBJECTS: list[object] = [
    {},
    HELLO,
    ENTRY,
    END,
    EXEC,
    {"pid": 1},
    {"code": "not_found"},
    {"type": "created", "path": "a"},
    [],
]


class Transport(asyncio.Transport):
    """Swallows what the host writes and remembers whether it hung up."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert len(data) <= HEADER.size + (2 << 20)

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.closing = True

    close = abort


def frame(source: Any) -> bytes:
    """Return a frame that is often right."""
    kind = source.ConsumeIntInRange(0, 13)
    choice = source.ConsumeIntInRange(0, 3)
    payload = b""
    if choice == 0:
        payload = source.ConsumeBytes(source.ConsumeIntInRange(0, 100))
    elif choice == 1:
        payload = json.dumps(source.PickValueInList(OBJECTS)).encode()
    elif choice == 2:
        payload = source.ConsumeIntInRange(0, 1000).to_bytes(4, "little")
    stream = 0 if kind in (1, 2, 3) else source.ConsumeIntInRange(0, 8)
    length = len(payload) if source.ConsumeIntInRange(0, 30) else source.ConsumeIntInRange(0, 1 << 20)
    flags = source.ConsumeIntInRange(0, 2) if kind in (7, 8) else 0
    return HEADER.pack(length, stream, kind, flags, 0) + payload


async def run(connection: GuestConnection) -> None:
    """Read one command to its end."""
    async with await Process.start(connection, "a", Command("a"), stdin=True) as process:
        await process.write(b"input")
        while not isinstance(await process.read(), ExitStatus):
            pass


async def read(connection: GuestConnection) -> None:
    """Read one file."""
    async for _ in files.read(connection, "a"):
        pass


async def watch(connection: GuestConnection) -> None:
    """See changes until the guest has enough."""
    async with files.watch(connection, "a") as changes:
        async for _ in changes:
            pass


async def converse(data: bytes) -> None:
    """Ask a guest many things at once and let it answer anything: only our own errors come out, and all ends."""
    source = atheris.FuzzedDataProvider(data)
    connection, transport = GuestConnection("vm"), Transport()
    connection.connection_made(transport)
    asked: list[asyncio.Task[object]] = [
        asyncio.ensure_future(job)
        for job in (
            connection.wait_ready(),
            metrics(connection),
            list_execs(connection),
            run(connection),
            read(connection),
            files.write(connection, "a", b"x"),
            watch(connection),
            connection.ping(),
        )
    ]
    greeting = json.dumps(HELLO).encode()
    said = b"" if source.ConsumeIntInRange(0, 20) == 0 else HEADER.pack(len(greeting), 0, 1, 0, 0) + greeting
    while source.remaining_bytes() and not transport.closing:
        said += b"".join(frame(source) for _ in range(source.ConsumeIntInRange(1, 4)))
        await asyncio.sleep(0)
        while said and not transport.closing:
            buffer = connection.get_buffer(-1)
            count = min(len(said), len(buffer), 1 + source.ConsumeIntInRange(0, 300))
            buffer[:count] = said[:count]
            said = said[count:]
            connection.buffer_updated(count)
        for stream in connection._streams.values():
            assert sum(len(kept.payload) for kept in stream._frames) <= GUEST_WINDOW + 2 * MAX_CONTROL
    transport.closing = True
    connection.connection_lost(None)
    for result in await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5):
        assert not isinstance(result, BaseException) or isinstance(result, AetheriumError), repr(result)
    assert asyncio.all_tasks() == {asyncio.current_task()}


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    atheris.Setup([*sys.argv, "-max_len=2000", "-len_control=0"], lambda data: loop.run_until_complete(converse(data)))
    atheris.Fuzz()
