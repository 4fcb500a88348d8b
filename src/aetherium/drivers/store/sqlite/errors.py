"""SQLite's errors as ours."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aetherium.model.errors import (
    AetheriumError,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

_ELSEWHERE: Final = "choose a state directory that you may write to with --state-dir or AETHERIUM_STATE_DIR"
_MAKE_SPACE: Final = "free some space or raise the quota; nothing of what was stored is lost"
_DENIED: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})  # the latter: quota, size limit of a file
_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED_ERRNOS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_LITTLE_SPACE: Final = 256 * 1024


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Raise what SQLite and the file system say about the database at ``path`` as errors of ours."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _from_sqlite(exc, path) from exc
    except OSError as exc:
        raise _from_os(exc, path) from exc
    except UnicodeEncodeError as exc:
        raise InvalidArgument(f"the state database cannot hold text that is not Unicode: {exc.object!r}") from exc
    except ValueError as exc:  # aiosqlite's only word for it
        raise Unavailable(f"the state database {path} is closed") from exc


def _from_sqlite(exc: sqlite3.Error, path: Path) -> AetheriumError:
    # Extended codes hold the primary one in their low byte; an error of the sqlite3 module itself has none.
    extended = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = extended & 0xFF
    what = f"the state database {path}"
    if code in _BUSY:
        return Unavailable(f"{what} is busy: another process is writing to it", remedy="try again")
    if extended in _FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return ResourceExhausted(f"{what} cannot grow: {exc}", remedy=_MAKE_SPACE)
    if extended == sqlite3.SQLITE_READONLY_DBMOVED:
        return Unavailable(f"{what} was moved or removed while in use", remedy="start again")
    if code in _DENIED:
        return PermissionDenied(f"{what} cannot be opened for writing: {exc}", remedy=_ELSEWHERE)
    if code in _BROKEN:
        return Unavailable(f"{what} is damaged or not a database: {exc}", remedy="restore a backup, or move it away")
    if code == sqlite3.SQLITE_IOERR:
        return Unavailable(
            f"{what} cannot be read or written: {exc}",
            remedy="look at the disk; the state directory must be on a local file system (--state-dir)",
        )
    if isinstance(exc, sqlite3.DataError) or code == sqlite3.SQLITE_TOOBIG:
        return InvalidArgument(f"{what} cannot hold something so large: {exc}")
    return Internal(f"{what}: {exc}")


def _from_os(exc: OSError, path: Path) -> AetheriumError:
    if exc.errno in _FULL_ERRNOS:
        return ResourceExhausted(f"no space for {path}: {exc}", remedy=_MAKE_SPACE)
    if exc.errno in _DENIED_ERRNOS:
        return PermissionDenied(f"the state directory {path.parent} cannot be written: {exc}", remedy=_ELSEWHERE)
    return Unavailable(f"the state directory {path.parent} cannot be used: {exc}", remedy=_ELSEWHERE)


def _is_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _LITTLE_SPACE or (space.f_files > 0 and space.f_favail == 0)
