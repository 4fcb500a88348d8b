"""Our own standard streams, read and written without ever holding up the event loop."""

from __future__ import annotations

import asyncio
import os
import queue
import select
import stat
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from aetherium.cli.errors import OutputFailed

_CHUNK = 64 * 1024
_PIPE_BUF = 4096
"""What a pipe that is writable takes at once, whole."""


async def chunks(fd: int) -> AsyncIterator[bytes]:
    """Yield what comes in on a descriptor until its end."""
    while True:
        await _readable(fd)
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            continue
        except OSError:
            return  # a terminal that is gone: there is no more input
        if not data:
            return
        yield data


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(fd, _settle, ready)
    except PermissionError:
        await asyncio.sleep(0)  # a regular file: always ready
        return
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class Writer:
    """Writes to a descriptor, byte for byte.

    What could block is done by a thread that nobody waits for at the end, so a reader that has stopped reading (a
    pager, a terminal held by Ctrl-S) can neither hold up signals nor keep the process alive.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        mode = os.fstat(fd).st_mode
        self._is_file = stat.S_ISREG(mode)
        self._is_pipe = stat.S_ISFIFO(mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._work: queue.SimpleQueue[tuple[memoryview, Callable[[OSError | None], None]]] | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it; return when it is written. Raises BrokenPipeError, OutputFailed."""
        view = memoryview(data)
        try:
            while view and (self._is_file or (self._is_pipe and self._poll.poll(0))):
                view = view[os.write(self._fd, view if self._is_file else view[:_PIPE_BUF]) :]
        except BlockingIOError:
            pass  # somebody made it non-blocking: the thread waits for it
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(error) from error
        if view:
            await self._in_thread(view)

    async def _in_thread(self, view: memoryview) -> None:
        if self._work is None:
            self._work = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._work,), name=f"writer of {self._fd}", daemon=True).start()
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def done(error: OSError | None) -> None:
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error if isinstance(error, BrokenPipeError) else OutputFailed(error))

        def tell(error: OSError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, error)

        self._work.put((view, tell))
        await written

    def _serve(self, work: queue.SimpleQueue[tuple[memoryview, Callable[[OSError | None], None]]]) -> None:
        while True:
            view, tell = work.get()
            try:
                while view:
                    try:
                        view = view[os.write(self._fd, view) :]
                    except BlockingIOError:
                        self._poll.poll()
            except OSError as error:
                tell(error)
            else:
                tell(None)
