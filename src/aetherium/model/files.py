"""Files inside a VM, seen from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FileType(StrEnum):
    """Kind of a directory entry."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHAR = "char"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file. ``name`` may hold surrogate escapes where the file's name is not UTF-8; ``mode`` has 12 bits."""

    name: str
    type: FileType
    size: int
    mode: int
    uid: int
    gid: int
    modified_at: datetime
    target: str | None = None


class ChangeType(StrEnum):
    """What happened to a watched file. ``overflow``: changes were lost, look again."""

    CREATED = "created"
    MODIFIED = "modified"
    REMOVED = "removed"
    MOVED_FROM = "moved_from"
    MOVED_TO = "moved_to"
    ATTRIBUTES = "attributes"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One change under a watched path; the two halves of a move share ``cookie``."""

    type: ChangeType
    path: str
    cookie: int | None = None


@dataclass(frozen=True, slots=True)
class TreeCount:
    """What an upload or download of a tree carried."""

    entries: int
    bytes: int
