"""Writes a hostile tar archive under one directory, and nothing outside it.

Every path component is opened relative to its parent's descriptor and never through a symbolic link, so neither the
archive nor what lies in the directory already can lead a write elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from aetherium.model.errors import AetheriumError, InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable
from aetherium.model.files import TreeCount
from aetherium.protocol.tar import Member, MemberKind, TarError, TarReader

BATCH: Final = 512 * 1024
"""Bytes handed to a thread, or taken from one, at a time."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IMPOSSIBLE: Final = frozenset(
    {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.ENOENT}
)
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What one archive may bring. ``depth`` counts the components of a name."""

    entries: int = 1_000_000
    bytes: int = 64 << 30
    depth: int = 128


@dataclass(slots=True)
class _OpenDirectory:
    name: bytes
    fd: int
    is_new: bool
    key: int  # a hash of its path


@dataclass(slots=True)
class _OpenFile:
    name: bytes
    parent: int
    fd: int
    member: Member
    missing: int


class Unpacker:
    """Takes an archive in pieces; used by one thread at a time.

    With ``only``, the archive must hold one regular file, which gets that name. ``close`` is needed in every case and
    removes the file that was not finished.
    """

    def __init__(self, root: Path, limits: UnpackLimits, *, only: bytes | None = None) -> None:
        self._destination = root
        self._root = -1
        self._limits = limits
        self._only = only
        self._reader = TarReader()
        self._entries = 0
        self._bytes = 0
        # Hashes stand for paths in both, so that a million entries with long names stay small.
        self._made: set[int] = set()  # files unpacked: those that a hard link may name
        self._times: dict[int, int] = {}  # of directories made: set whenever one is left, for its contents changed it
        self._path: list[_OpenDirectory] = []
        self._file: _OpenFile | None = None

    def open(self) -> None:
        """Open the root directory, made if missing; the caller chose it, so links on the way to it are followed."""
        try:
            self._destination.mkdir(parents=True, exist_ok=True)
            self._root = os.open(self._destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _refusal(error, f"into {str(self._destination)!r}") from error

    def feed(self, chunks: Sequence[bytes]) -> None:
        """Unpack what ``chunks`` complete. Raises InvalidArgument, PermissionDenied, ResourceExhausted."""
        try:
            for chunk in chunks:
                for item in self._reader.feed(chunk):
                    if isinstance(item, Member):
                        self._on_member(item)
                    else:
                        self._on_data(item)
        except TarError as error:
            raise InvalidArgument(f"the archive cannot be unpacked: {error}") from error

    def finish(self) -> TreeCount:
        """Return what was unpacked. Raises InvalidArgument when the archive was cut short."""
        try:
            self._reader.close()
        except TarError as error:
            raise InvalidArgument(f"the archive cannot be unpacked: {error}") from error
        if self._only is not None and not self._entries:
            raise InvalidArgument("the archive holds no file")
        self._leave_directories(0)
        return TreeCount(self._entries, self._bytes)

    def close(self) -> None:
        """Close everything and remove the file that was not finished. Repeatable."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file.fd)
            with suppress(OSError):  # somebody else removed it, or took the right to
                os.unlink(file.name, dir_fd=file.parent)
        for directory in self._path:
            os.close(directory.fd)
        self._path.clear()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _on_member(self, member: Member) -> None:
        if member.kind is MemberKind.OTHER:
            return
        self._entries += 1
        if self._entries > self._limits.entries:
            raise ResourceExhausted(f"the archive has more than {self._limits.entries} entries")
        if member.size > self._limits.bytes - self._bytes:
            raise ResourceExhausted(f"the archive holds more than {self._limits.bytes} bytes")
        self._bytes += member.size
        try:
            self._place(member)
        except OSError as error:
            raise _refusal(error, _shown(member.name)) from error

    def _place(self, member: Member) -> None:
        if self._only is not None:
            if self._entries > 1 or member.kind is not MemberKind.FILE:
                raise InvalidArgument(f"the archive should hold one file, not {_shown(member.name)}")
            self._begin_file(member, self._root, self._only)
            return
        parts = _components(member.name, self._limits.depth)
        if member.kind is MemberKind.DIRECTORY:
            self._enter(parts)
            if parts and self._path[-1].is_new:
                os.fchmod(self._path[-1].fd, member.mode & 0o777 | 0o700)
                self._times[self._path[-1].key] = member.mtime_ns
            return
        if not parts:
            raise InvalidArgument(f"the archive's entry {_shown(member.name)} has no name")
        parent, name = self._enter(parts[:-1]), parts[-1]
        if member.kind is MemberKind.FILE:
            self._begin_file(member, parent, name)
            self._made.add(hash(tuple(parts)))
            return
        self._made.discard(hash(tuple(parts)))
        if member.kind is MemberKind.SYMLINK:
            _replacing(parent, name, lambda: os.symlink(member.target, name, dir_fd=parent))
            os.utime(name, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)
        else:
            self._hard_link(member, parent, parts)

    def _hard_link(self, member: Member, parent: int, parts: list[bytes]) -> None:
        source = _components(member.target, self._limits.depth)
        if source == parts or hash(tuple(source)) not in self._made:
            raise InvalidArgument(
                f"the archive's entry {_shown(member.name)} is a hard link to {_shown(member.target)}, "
                "which is not a file unpacked before it"
            )
        # The parent's descriptor would be closed by walking to the source, so both are held by themselves.
        parent = os.dup(parent)
        try:
            other = self._enter(source[:-1])
            name, last = parts[-1], source[-1]
            _replacing(
                parent,
                name,
                lambda: os.link(last, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False),
            )
        finally:
            os.close(parent)
        self._made.add(hash(tuple(parts)))

    def _begin_file(self, member: Member, parent: int, name: bytes) -> None:
        fd = _replacing(parent, name, lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=parent))
        self._file = _OpenFile(name, parent, fd, member, member.size)
        if not member.size:
            self._end_file(self._file)

    def _on_data(self, data: memoryview) -> None:
        file = self._file
        assert file is not None
        file.missing -= len(data)
        try:
            while data:
                data = data[os.write(file.fd, data) :]
            if not file.missing:
                self._end_file(file)
        except OSError as error:
            raise _refusal(error, _shown(file.member.name)) from error

    def _end_file(self, file: _OpenFile) -> None:
        os.fchmod(file.fd, file.member.mode & 0o777 | 0o600)
        os.utime(file.fd, ns=(file.member.mtime_ns, file.member.mtime_ns))
        self._file = None
        os.close(file.fd)

    def _enter(self, parts: list[bytes]) -> int:
        """Return the descriptor of a directory under the root, made if missing. Valid until the next call."""
        common = 0
        while common < min(len(parts), len(self._path)) and self._path[common].name == parts[common]:
            common += 1
        self._leave_directories(common)
        for part in parts[common:]:
            parent, key = (self._path[-1].fd, self._path[-1].key) if self._path else (self._root, 0)
            is_new = False
            try:
                fd = os.open(part, _DIRECTORY, dir_fd=parent)
            except FileNotFoundError:
                os.mkdir(part, dir_fd=parent)
                is_new = True
                fd = os.open(part, _DIRECTORY, dir_fd=parent)
            self._path.append(_OpenDirectory(part, fd, is_new, hash((key, part))))
        return self._path[-1].fd if self._path else self._root

    def _leave_directories(self, keep: int) -> None:
        while len(self._path) > keep:
            directory = self._path.pop()
            if (mtime_ns := self._times.get(directory.key)) is not None:
                with suppress(OSError):  # a time is not worth failing for
                    os.utime(directory.fd, ns=(mtime_ns, mtime_ns))
            os.close(directory.fd)


async def unpack(
    chunks: AsyncIterable[bytes], root: Path, limits: UnpackLimits, *, only: bytes | None = None
) -> TreeCount:
    """Unpack an archive under ``root`` in threads, holding about 1 MiB of it. See Unpacker.

    When this ends, in whatever way, no thread works for it any more.
    """
    unpacker = Unpacker(root, limits, only=only)
    try:
        await in_thread(unpacker.open)
        batch: list[bytes] = []
        size = 0
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if size >= BATCH:
                await in_thread(unpacker.feed, batch)
                batch, size = [], 0
        await in_thread(unpacker.feed, batch)
        return await in_thread(unpacker.finish)
    finally:
        await in_thread(unpacker.close)


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a short blocking function in a thread. A cancellation waits for its end, so nothing runs on unseen."""
    future = asyncio.get_running_loop().run_in_executor(None, lambda: function(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        future.exception()  # the cancellation is what counts
        raise


def _components(name: bytes, depth: int) -> list[bytes]:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts:
        raise InvalidArgument(f"the archive's entry {_shown(name)} leads out of the directory")
    if len(parts) > depth:
        raise ResourceExhausted(f"the archive's entry {_shown(name)} lies more than {depth} directories deep")
    return parts


def _replacing(parent: int, name: bytes, make: Callable[[], _T]) -> _T:
    """Call ``make``; if something has the name already, remove that (never write through it) and call it again."""
    try:
        return make()
    except FileExistsError:
        os.unlink(name, dir_fd=parent)
        return make()


def _shown(name: bytes) -> str:
    text = repr(name.decode("utf-8", "surrogateescape"))
    return text if len(text) <= 200 else f"{text[:200]}..."


def _refusal(error: OSError, name: str) -> AetheriumError:
    message = f"cannot unpack {name}: {error.strerror}"
    if error.errno in _FULL:
        return ResourceExhausted(message, remedy="free space on the host, or choose another destination")
    if error.errno in _DENIED:
        return PermissionDenied(message)
    if error.errno in _IMPOSSIBLE:
        return InvalidArgument(message, remedy="if something there is in the way, remove it or choose another place")
    return Unavailable(message)
