"""Walking and removing trees that a hostile program made: no link followed, any depth, any mode.

Only one directory is open at a time, and the way up is checked against what was passed on the way down: so neither the
limit of open files nor that of path lengths matters, and a directory that is moved meanwhile cannot lead outside.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_Visit = Callable[[int, "os.DirEntry[str]"], None]


@dataclass(slots=True)
class _Level:
    """A directory on the way from the top; ``name`` is its name in the one above."""

    identity: tuple[int, int]
    name: str
    below: list[str] = field(default_factory=list)


def remove(path: Path) -> None:
    """Remove ``path`` and all below. Harmless when it is gone, or while another removes it too. Raises OSError."""
    for _ in range(8):  # what another removes under our feet makes us begin again
        try:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                return
            _walk(path, _remove_file, removing=True)
            os.rmdir(path)
            return
        except FileNotFoundError:
            if not os.path.lexists(path):
                return
        except OSError:
            if not _is_occupied(path):
                raise
    os.rmdir(path)


def size(path: Path) -> int:
    """Return the bytes that the files below ``path`` take on disk; what cannot be read counts as nothing."""
    total = 0
    linked: set[tuple[int, int]] = set()

    def add(parent: int, entry: os.DirEntry[str]) -> None:
        nonlocal total
        with suppress(OSError):
            found = os.stat(entry.name, dir_fd=parent, follow_symlinks=False)
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in linked:
                    return
                linked.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512

    with suppress(OSError):
        _walk(path, add, removing=False)
    return total


def _walk(top: Path, visit: _Visit, *, removing: bool) -> None:
    fd = _entered(None, os.fspath(top), force=removing)
    try:
        levels = [_scanned(fd, "", visit)]
        while True:
            if levels[-1].below:
                name = levels[-1].below.pop()
                try:
                    child = _entered(fd, name, force=removing)
                except FileNotFoundError:
                    continue
                except OSError:
                    if removing:
                        raise
                    continue
                os.close(fd)
                fd = child
                levels.append(_scanned(fd, name, visit))
                continue
            done = levels.pop()
            if not levels:
                return
            above = os.open("..", _FLAGS, dir_fd=fd)
            os.close(fd)
            fd = above
            if _identity(fd) != levels[-1].identity:
                return
            if removing:
                with suppress(FileNotFoundError):
                    os.rmdir(done.name, dir_fd=fd)
    finally:
        os.close(fd)


def _scanned(fd: int, name: str, visit: _Visit) -> _Level:
    level = _Level(_identity(fd), name)
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                level.below.append(entry.name)
            visit(fd, entry)
    return level


def _entered(parent: int | None, name: str, *, force: bool) -> int:
    """Open a directory that may be left again; ``force`` gives us the permission if it is ours."""
    if force:
        place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if stat.S_IMODE(os.fstat(place).st_mode) & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{place}", 0o700)
        finally:
            os.close(place)
    fd = os.open(name, _FLAGS, dir_fd=parent)
    if not os.access(".", os.X_OK, dir_fd=fd):
        os.close(fd)
        raise PermissionError(name)
    return fd


def _remove_file(parent: int, entry: os.DirEntry[str]) -> None:
    if not entry.is_dir(follow_symlinks=False):
        with suppress(FileNotFoundError):
            os.unlink(entry.name, dir_fd=parent)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _is_occupied(path: Path) -> bool:
    """Say whether ``path`` is a directory that somebody filled again."""
    try:
        return any(True for _ in os.scandir(path))
    except OSError:
        return False
