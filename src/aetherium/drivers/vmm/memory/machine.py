"""One machine: an agent that is our child process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from aetherium._util.guest_binary import guest_agent
from aetherium.drivers.vmm.memory import processes
from aetherium.model.errors import DriverUnavailable, GuestUnreachable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PR_SET_PDEATHSIG = 1
_MARK = "AETHERIUM_MEMORY_VM"


class Machine:
    """A running agent. ``ended`` is done when it is gone."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.directory = directory
        self.pid = process.pid
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._on_end)

    @classmethod
    def start(cls, directory: Path, agent_args: tuple[str, ...]) -> Self:
        """Start the agent in ``directory``, its socket listening. Raises DriverUnavailable."""
        try:
            binary = guest_agent()
        except FileNotFoundError as error:
            raise DriverUnavailable(str(error), remedy="build the guest agent: python hatch_build.py") from error
        ctypes.CDLL(None)  # loaded here: between fork and exec is no time for it
        with _listener(directory) as listener, open(directory / "console.log", "ab") as console:
            process = subprocess.Popen(
                [
                    str(binary),
                    "serve",
                    "--listen-fd",
                    str(listener.fileno()),
                    "--workdir",
                    str(directory / "work"),
                    *agent_args,
                ],
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"PATH": _PATH, _MARK: str(directory)},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return cls(directory, process)

    async def connect(self, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseTransport:
        """Connect to the agent. Raises GuestUnreachable."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with _short(self.directory) as directory:
                sock.connect(f"{directory}/agent.sock")
            transport, _ = await self._loop.create_unix_connection(protocol, sock=sock)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise GuestUnreachable(f"the agent cannot be reached: {error.strerror}") from error
            raise
        return transport

    @property
    def is_alive(self) -> bool:
        """Whether the agent runs."""
        return self._process.poll() is None

    async def kill(self) -> None:
        """End the agent and all its processes; return when they are gone. Repeatable."""
        self.kill_now()
        await asyncio.shield(self.ended)

    def kill_now(self) -> None:
        """Kill the agent and all its processes."""
        if self.is_alive:
            processes.kill_tree(self.pid)
        # Whoever killed the agent alone left its processes to the host's init.
        processes.kill_marked(f"{_MARK}={self.directory}")

    def close(self) -> None:
        """Forget a machine that was killed."""
        self._process.wait()
        self._on_end()

    def _on_end(self) -> None:
        if not self.ended.done():
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._process.wait()
            self.ended.set_result(None)


@contextmanager
def _listener(directory: Path) -> Iterator[socket.socket]:
    (directory / "agent.sock").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, _short(directory) as short:
        sock.bind(f"{short}/agent.sock")
        sock.listen(64)
        yield sock


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """Yield another path of ``directory``: a socket's address holds 107 bytes, temporary directories need more."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _die_with_parent() -> None:
    # SIGTERM, not SIGKILL: the agent then ends what it started too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
