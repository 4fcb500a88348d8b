"""The agent's socket: bound by the host before the machine starts, so that the VM has no path to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aetherium.drivers.vmm.bubblewrap.disk import Disk
from aetherium.model.errors import GuestUnreachable

_BACKLOG = 64


def listener(disk: Disk) -> int:
    """Bind the VM's socket anew and return its descriptor, listening."""
    disk.socket.unlink(missing_ok=True)
    with _address(disk) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(address)
        sock.listen(_BACKLOG)
        return sock.detach()


async def connect(disk: Disk, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.BaseTransport:
    """Connect to the VM's agent. Raises GuestUnreachable."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Never waits: the kernel accepts for the listener, or refuses at once.
        with _address(disk) as address:
            sock.connect(address)
        transport, _ = await asyncio.get_running_loop().create_unix_connection(protocol, sock=sock)
    except OSError as error:
        sock.close()
        raise GuestUnreachable(f"the agent of VM {disk.path.name} cannot be reached: {error.strerror}") from error
    except BaseException:
        sock.close()
        raise
    return transport


@contextmanager
def _address(disk: Disk) -> Iterator[str]:
    """Yield a short name of the socket: an address holds 107 bytes, a state directory's path may be longer."""
    fd = os.open(disk.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{disk.socket.name}"
    finally:
        os.close(fd)
