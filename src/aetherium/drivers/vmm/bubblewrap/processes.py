"""Processes of the host, named so that a recycled pid is never mistaken for its predecessor."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its pid and when it was started, in clock ticks since the host's start."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel tells about a process: its state's letter, its flags, when it was started."""

    state: str
    flags: int
    started: int

    @property
    def is_alive(self) -> bool:
        """Whether it can still run."""
        return self.state not in "ZXx"

    @property
    def is_kernels(self) -> bool:
        """Whether it is a thread of the kernel's own."""
        return bool(self.flags & 0x200000)  # PF_KTHREAD


def look(pid: int) -> Seen | None:
    """Return what is known of ``pid``, None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return Seen(fields[0].decode("ascii"), int(fields[6]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return None


def words(pid: int) -> list[bytes]:
    """Return the command line of ``pid``, empty when it has none."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read()
    except OSError:
        return []
    return text.split(b"\0") if text else []


def words_in_time(pid: int) -> list[bytes]:
    """Like ``words``, for one that may just be becoming another program, when it has none for a moment."""
    for _ in range(200):
        found = words(pid)
        if found:
            return found
        seen = look(pid)
        if seen is None or not seen.is_alive or seen.is_kernels:
            return []
        time.sleep(0.0005)
    return []


def identify(pid: int) -> Process | None:
    """Return ``pid`` as it is now, None when there is none."""
    seen = look(pid)
    return None if seen is None else Process(pid, seen.started)


def find(process: Process) -> Seen | None:
    """Return what is known of exactly this process; None when it is gone or its pid is another's."""
    seen = look(process.pid)
    return seen if seen is not None and seen.started == process.started and seen.is_alive else None


def open_pidfd(process: Process) -> int | None:
    """Return a descriptor of exactly this process, None when it is gone. Never of our own."""
    if process.pid == os.getpid():
        return None
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # Only now is it certain which process the descriptor holds.
    if find(process) is None:
        os.close(fd)
        return None
    return fd


def kill(process: Process) -> None:
    """Send SIGKILL to exactly this process, if it is there."""
    fd = open_pidfd(process)
    if fd is None:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)


async def gone(process: Process) -> None:
    """Return when the process has ended (it may still be a zombie)."""
    fd = open_pidfd(process)
    if fd is None:
        return
    try:
        await readable(fd)
    finally:
        os.close(fd)


async def readable(fd: int) -> None:
    """Return when ``fd`` has something to read, or its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def kill_and_wait(processes: Iterable[Process], *, timeout_s: float) -> None:
    """Kill all and block until all have ended, at most so long. For moments that no cancellation may interrupt."""
    fds = [fd for fd in map(open_pidfd, processes) if fd is not None]
    try:
        for fd in fds:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        left, deadline = set(fds), time.monotonic() + timeout_s
        while left and (rest := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(rest * 1000):
                poll.unregister(fd)
                left.discard(fd)
    finally:
        for fd in fds:
            os.close(fd)


def pids() -> Iterator[int]:
    """Yield the pid of every process this one can see."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def boot_id() -> str:
    """Return the name of this run of the host's kernel."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
