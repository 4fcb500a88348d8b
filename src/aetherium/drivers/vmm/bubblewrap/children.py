"""The processes that this process is the parent of, collected when they end, without a thread or a signal handler."""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import suppress

_left: set[int] = set()
"""Children that outlived the driver which started them; nobody else in this process will wait for them."""


class Children:
    """The monitors that one driver started."""

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}

    def add(self, pid: int) -> None:
        """Wait for ``pid``, which is our child, in the background."""
        fd = self._fds[pid] = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(fd, self._ended, pid)

    def _ended(self, pid: int) -> None:
        fd = self._fds.pop(pid)
        asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)
        _collect(pid)

    def settle(self, pid: int) -> None:
        """Collect ``pid`` now, if it is ours and has ended."""
        if pid in self._fds:
            self._ended(pid)

    def settle_all(self) -> None:
        """Collect all that have ended."""
        for pid in list(self._fds):
            if select.select([self._fds[pid]], [], [], 0)[0]:
                self._ended(pid)

    def close(self) -> None:
        """Stop waiting. The VMs run on."""
        for pid in list(self._fds):
            self._ended(pid)


def collect_left() -> None:
    """Collect what ended since its driver was closed."""
    for pid in list(_left):
        _collect(pid)


def _collect(pid: int) -> None:
    _left.discard(pid)
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            _left.add(pid)
