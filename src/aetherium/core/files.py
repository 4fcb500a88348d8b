"""``engine.files``: the file systems of VMs, reached from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

from aetherium.core.commands import Commands
from aetherium.core.deadline import deadline
from aetherium.core.guest import files, tree
from aetherium.core.guest.unpack import UnpackLimits
from aetherium.model.errors import ResourceExhausted
from aetherium.model.files import FileChange, FileEntry, TreeCount

TIMEOUT_S: Final = 30.0
MAX_ENTRIES: Final = 200_000
MAX_READ_BYTES: Final = 64 * 1024 * 1024
Data = bytes | AsyncIterable[bytes]


class Files:
    """Reads and writes files in VMs that run.

    ``vm`` is an id or a name; a relative path starts from the VM's work directory. Names that are not UTF-8 have
    surrogate escapes. Errors: NotFound, AlreadyExists, PermissionDenied, InvalidArgument, Conflict (VM not running,
    directory not empty), ResourceExhausted (disk full), GuestUnreachable. Unary calls end after 30 s with
    DeadlineExceeded; transfers last as long as they take.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def stat(self, vm: str, path: str, *, follow: bool = True) -> FileEntry:
        """Return what is at a path; of a symbolic link what it names, unless ``follow`` is false."""
        link = await self._commands.link(vm)
        async with deadline(TIMEOUT_S, "looking at the file"):
            return await files.stat(link.connection, path, follow=follow)

    async def list(self, vm: str, path: str = ".") -> tuple[FileEntry, ...]:
        """Return a directory's entries by name. ResourceExhausted for more than 200,000."""
        link = await self._commands.link(vm)
        found = []
        async with (
            deadline(TIMEOUT_S, "listing the directory"),
            aclosing(files.list_directory(link.connection, path)) as entries,
        ):
            async for entry in entries:
                found.append(entry)
                if len(found) > MAX_ENTRIES:
                    raise ResourceExhausted(
                        f"{path} has more than {MAX_ENTRIES} entries", remedy="list it with a command in the VM"
                    )
        return tuple(sorted(found, key=lambda entry: entry.name))

    async def read(self, vm: str, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes. ResourceExhausted when there are more than 64 MiB: use ``read_stream``."""
        data = bytearray()
        async with aclosing(self.read_stream(vm, path, offset=offset, length=length)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > MAX_READ_BYTES:
                    raise ResourceExhausted(
                        f"{path} has more than {MAX_READ_BYTES} bytes", remedy="read it as a stream or in parts"
                    )
        return bytes(data)

    async def read_stream(
        self, vm: str, path: str, *, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes from ``offset`` in pieces of at most 64 KiB."""
        link = await self._commands.link(vm)
        async with aclosing(files.read(link.connection, path, offset=offset, length=length)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def write(
        self,
        vm: str,
        path: str,
        data: Data,
        *,
        mode: int | None = None,
        append: bool = False,
        parents: bool = False,
    ) -> int:
        """Write a file and return how many bytes. Unless ``append`` it is replaced whole or left as it was.

        ``parents`` makes missing directories.
        """
        link = await self._commands.link(vm)
        return await files.write(link.connection, path, data, mode=mode, append=append, parents=parents)

    async def make_directory(self, vm: str, path: str, *, parents: bool = False, mode: int | None = None) -> None:
        """Make a directory; with ``parents`` also those above it, and it may exist already."""
        link = await self._commands.link(vm)
        async with deadline(TIMEOUT_S, "making the directory"):
            await files.make_directory(link.connection, path, parents=parents, mode=mode)

    async def move(self, vm: str, source: str, destination: str) -> None:
        """Rename a file or directory; a file in the way is replaced."""
        link = await self._commands.link(vm)
        async with deadline(TIMEOUT_S, "moving the file"):
            await files.move(link.connection, source, destination)

    async def remove(self, vm: str, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, or a directory: an empty one, or with ``recursive`` any."""
        link = await self._commands.link(vm)
        async with deadline(None if recursive else TIMEOUT_S, "removing the file"):
            await files.remove(link.connection, path, recursive=recursive, missing_ok=missing_ok)

    async def chmod(self, vm: str, path: str, mode: int) -> None:
        """Set the 12 permission bits."""
        link = await self._commands.link(vm)
        async with deadline(TIMEOUT_S, "changing the mode"):
            await files.chmod(link.connection, path, mode)

    async def upload(self, vm: str, source: Path, destination: str) -> TreeCount:
        """Copy a file or directory of this host into a VM.

        A directory's contents go into ``destination``, made if missing; a file becomes ``destination``, or goes into it
        if that is a directory. Symbolic links stay what they are; devices and sockets are left out.
        """
        link = await self._commands.link(vm)
        return await tree.upload(link.connection, source, destination)

    async def upload_archive(self, vm: str, archive: AsyncIterable[bytes], destination: str) -> TreeCount:
        """Unpack a tar archive under a directory of a VM, made if missing."""
        link = await self._commands.link(vm)
        return await tree.upload_stream(link.connection, archive, destination)

    async def download(
        self, vm: str, source: str, destination: Path, *, limits: UnpackLimits | None = None
    ) -> TreeCount:
        """Copy a file or directory out of a VM, to where ``upload`` would put it.

        What the VM sends is not trusted: nothing is written outside ``destination``, no symbolic link is followed, no
        device made, no set-user-id bit kept, and ``limits`` bound what may come.
        """
        link = await self._commands.link(vm)
        return await tree.download(link.connection, source, destination, limits=limits)

    async def download_archive(self, vm: str, source: str) -> AsyncGenerator[bytes, None]:
        """Yield a tar archive of a file or directory as the VM sends it. It is not examined: unpack it with care."""
        link = await self._commands.link(vm)
        async with aclosing(tree.download_stream(link.connection, source)) as chunks:
            async for chunk in chunks:
                yield chunk

    @asynccontextmanager
    async def watch(self, vm: str, path: str, *, recursive: bool = False) -> AsyncIterator[AsyncIterator[FileChange]]:
        """Give the changes under a path: all that happen after the context is entered, until it is left."""
        link = await self._commands.link(vm)
        async with files.watch(link.connection, path, recursive=recursive) as changes:
            yield changes
