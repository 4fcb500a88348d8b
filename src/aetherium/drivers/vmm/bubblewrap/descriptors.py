"""File descriptors that go to the sandbox, closed together on our side."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self


class Descriptors:
    """A bag of descriptors. What is ``shared`` is inherited by the new machine; all are closed at the end."""

    def __init__(self) -> None:
        self._owned: set[int] = set()
        self.shared: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in list(self._owned):
            self.close(fd)

    def keep(self, fd: int) -> int:
        """Take ``fd`` over."""
        self._owned.add(fd)
        return fd

    def share(self, fd: int) -> int:
        """Take ``fd`` over and let the machine inherit it."""
        self.shared.append(self.keep(fd))
        return fd

    def lend(self, fd: int) -> int:
        """Let the machine inherit ``fd``, which stays its owner's."""
        self.shared.append(fd)
        return fd

    def close(self, fd: int) -> None:
        """Close one now."""
        self._owned.discard(fd)
        os.close(fd)

    def close_shared(self) -> None:
        """Close our copies of what the machine has inherited."""
        for fd in self.shared:
            if fd in self._owned:
                self.close(fd)
        self.shared.clear()

    def data(self, content: bytes) -> int:
        """Share a file in memory with this content, to be read from its beginning."""
        fd = self.share(os.memfd_create("aetherium", os.MFD_CLOEXEC))
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def file(self, path: str | os.PathLike[str]) -> int:
        """Share a file of the host, opened for reading."""
        return self.share(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))

    def incoming(self) -> tuple[int, int]:
        """Return a pipe from the machine: our reading end, its shared writing end."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        return self.keep(reading), self.share(writing)

    def outgoing(self) -> tuple[int, int]:
        """Return a pipe to the machine: our writing end, its shared reading end."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        return self.keep(writing), self.share(reading)
