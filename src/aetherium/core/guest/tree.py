"""Files and whole directories, into and out of a VM, as tar.

A directory's contents go into the destination, which is made if missing and otherwise added to. A file goes to the
destination's path, or under its own name into a destination that is a directory or ends in ``/``. The source itself may
be a symbolic link to what is meant; links below it are carried as links. Sockets, fifos and devices are left out.
Permission bits and times of files (to the second) are kept, owners are not. Leaving in the middle leaves what was
copied already, and on the host not the file under way.
"""

from __future__ import annotations

import os
import posixpath
import stat as modes
import tarfile
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Final

from aetherium.core.guest import files
from aetherium.core.guest.client import replied
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.unpack import BATCH, UnpackLimits, in_thread, unpack
from aetherium.model.errors import AetheriumError, Conflict, InvalidArgument, NotFound, PermissionDenied, Unavailable
from aetherium.model.files import FileType, TreeCount
from aetherium.protocol.frames import FrameType, ProtocolError
from aetherium.protocol.tar import BLOCK

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {modes.S_IFREG: tarfile.REGTYPE, modes.S_IFDIR: tarfile.DIRTYPE, modes.S_IFLNK: tarfile.SYMTYPE}


async def upload(connection: GuestConnection, source: Path, destination: str) -> TreeCount:
    """Copy a local file or directory into the VM. Raises NotFound, PermissionDenied, Conflict."""
    try:
        resolved = await in_thread(source.resolve, strict=True)
        is_directory = await in_thread(resolved.is_dir)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        raise _refusal(error, source) from error
    name = ""
    if not is_directory:
        destination, name = await _place_of_file(connection, source.name, destination)
    return await upload_stream(connection, _packed(resolved, name), destination)


async def upload_stream(connection: GuestConnection, chunks: AsyncIterable[files.Chunk], destination: str) -> TreeCount:
    """Unpack a tar archive under a directory in the VM, made if missing. The counts are the agent's."""
    async with replied(connection, "upload", {"path": files.guest_path(destination)}) as stream:
        await files.send_all(stream, chunks)
        end = await files.end_of_sending(stream)
        return TreeCount(end.integer("entries"), end.integer("bytes"))


async def download(
    connection: GuestConnection, source: str, destination: Path, *, limits: UnpackLimits | None = None
) -> TreeCount:
    """Copy a file or directory out of the VM. What the VM sends can write nothing outside ``destination``.

    A Path cannot end in ``/``: to put a file into a directory that is still missing, make that first. Files in the way
    are replaced. After a failure what was already unpacked stays, except the file under way.
    """
    entry = await files.stat(connection, source)
    limits = limits or UnpackLimits()
    async with aclosing(download_stream(connection, source)) as chunks:
        if entry.type is FileType.DIRECTORY:
            return await unpack(chunks, destination, limits)
        if entry.type is not FileType.FILE:
            raise InvalidArgument(f"cannot download a {entry.type}: only files and directories")
        if await in_thread(destination.is_dir):
            destination = destination / _base_name(source)
        return await unpack(chunks, destination.parent, limits, only=os.fsencode(destination.name))


async def download_stream(connection: GuestConnection, source: str) -> AsyncGenerator[bytes, None]:
    """Yield a tar archive of a file or directory as the VM sends it, unexamined."""
    async with replied(connection, "download", {"path": files.guest_path(source)}) as stream:
        while (frame := await stream.receive()).type is not FrameType.END:
            if frame.type is FrameType.DATA:
                yield frame.payload
            elif frame.type is not FrameType.EOF:
                raise ProtocolError(f"{frame.type.name} in an archive")


async def _place_of_file(connection: GuestConnection, name: str, destination: str) -> tuple[str, str]:
    """Return the directory and the name for a file that is copied to ``destination``."""
    if destination.endswith("/"):
        return destination, name
    try:
        if (await files.stat(connection, destination)).type is FileType.DIRECTORY:
            return destination, name
    except NotFound:
        pass
    directory, name = posixpath.split(destination)
    return directory or ".", name


def _base_name(path: str) -> str:
    name = posixpath.basename(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise InvalidArgument(f"{path!r} has no file name to use: name the destination file")
    return name


async def _packed(source: Path, name: str) -> AsyncGenerator[files.Chunk, None]:
    """Yield the archive of ``source``, each piece made in a thread while nobody waits for the next."""
    pieces = _pieces(source, name)
    try:
        while (piece := await in_thread(_next_piece, pieces)) is not None:
            yield piece
    except OSError as error:
        raise _refusal(error, source) from error
    finally:
        pieces.close()


def _next_piece(pieces: Iterator[files.Chunk]) -> files.Chunk | None:
    return next(pieces, None)


def _pieces(source: Path, name: str) -> Generator[files.Chunk, None, None]:
    """Yield an archive in pieces of about BATCH bytes. ``name`` is empty for a directory's contents."""
    buffer = bytearray()
    for path, member in _members(os.fspath(source), name):
        try:
            status = os.lstat(path)
            kind = _KINDS.get(modes.S_IFMT(status.st_mode))
            target = os.readlink(path) if kind == tarfile.SYMTYPE else ""
            fd = os.open(path, _OPEN) if kind == tarfile.REGTYPE else -1
        except FileNotFoundError:
            continue  # removed since its directory was read
        if kind is None:
            continue
        if fd < 0:
            buffer += _header(member, kind, status, 0, target)
        else:
            try:
                left = os.fstat(fd).st_size
                buffer += _header(member, kind, status, left)
                padding = -left % BLOCK
                while left:
                    data = os.read(fd, min(left, BATCH))
                    if not data:
                        raise Conflict(f"{path!r} became shorter while it was read", remedy="upload it again")
                    left -= len(data)
                    if len(buffer) + len(data) >= BATCH:
                        yield buffer  # never touched again, so nothing is copied
                        yield data
                        buffer = bytearray()
                    else:
                        buffer += data
                buffer += bytes(padding)
            finally:
                os.close(fd)
        if len(buffer) >= BATCH:
            yield buffer
            buffer = bytearray()
    yield buffer + bytes(2 * BLOCK)


def _members(source: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield local paths and their names in the archive; each directory right before its contents."""
    if name:
        yield source, name
        return
    directories = [(source, "")]
    while directories:
        directory, prefix = directories.pop()
        if prefix:
            yield directory, prefix.rstrip("/")
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    yield entry.path, prefix + entry.name


def _header(name: str, kind: bytes, status: os.stat_result, size: int, target: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    info.mode, info.mtime = modes.S_IMODE(status.st_mode), int(status.st_mtime)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _refusal(error: OSError | RuntimeError, source: Path) -> AetheriumError:
    if isinstance(error, RuntimeError):
        return InvalidArgument(f"cannot read {str(source)!r}: {error}")
    message = f"cannot read {os.fspath(error.filename or source)!r}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return NotFound(message)
    if isinstance(error, PermissionError):
        return PermissionDenied(message)
    return Unavailable(message)
