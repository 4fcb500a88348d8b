"""Single files and directories in a VM. Paths that are relative start from the VM's work directory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aetherium.core.guest.client import events, expect, replied
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.stream import Stream
from aetherium.model.errors import InvalidArgument
from aetherium.model.files import ChangeType, FileChange, FileEntry, FileType
from aetherium.protocol.frames import FrameType, ProtocolError
from aetherium.protocol.osstring import to_json
from aetherium.protocol.payload import JsonValue, Payload

Chunk = bytes | bytearray | memoryview


async def stat(connection: GuestConnection, path: str, *, follow: bool = True) -> FileEntry:
    """Return one entry; of a symbolic link what it names, unless ``follow`` is false. Raises NotFound."""
    reply = await connection.call("stat", {"path": guest_path(path), "follow": follow})
    with connection.distrust():
        return _entry(reply)


async def list_directory(connection: GuestConnection, path: str) -> AsyncGenerator[FileEntry, None]:
    """Yield a directory's entries in no order, without ``.`` and ``..``. Raises NotFound, InvalidArgument."""
    async for item in events(connection, "dir", {"path": guest_path(path)}):
        with connection.distrust():
            entry = _entry(item)
            if entry.name in ("", ".", "..") or "/" in entry.name:
                raise ProtocolError("a directory's entry has a name that no entry can have")
        yield entry


async def read(
    connection: GuestConnection, path: str, *, offset: int = 0, length: int | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes from ``offset``, at most ``length`` of them, in pieces of at most 64 KiB."""
    if offset < 0 or (length is not None and length < 0):
        raise InvalidArgument("offset and length of a read cannot be negative")
    fields: dict[str, JsonValue] = {"path": guest_path(path), "offset": offset, "length": length}
    async with replied(connection, "read", fields) as stream:
        total = 0
        while (frame := await stream.receive()).type is not FrameType.END:
            if frame.type is FrameType.DATA:
                total += len(frame.payload)
                if length is not None and total > length:
                    raise ProtocolError("more bytes of a file than were asked for")
                yield frame.payload
            elif frame.type is not FrameType.EOF:
                raise ProtocolError(f"{frame.type.name} in a file's bytes")
        if Payload(frame.payload).integer("bytes") != total:
            raise ProtocolError("another number of bytes than were sent")


async def write(
    connection: GuestConnection,
    path: str,
    data: Chunk | AsyncIterable[Chunk],
    *,
    mode: int | None = None,
    append: bool = False,
    parents: bool = False,
) -> int:
    """Write a file and return how many bytes; unless ``append``, it is replaced whole or left as it was.

    ``parents`` makes missing directories.
    """
    fields: dict[str, JsonValue] = {
        "path": guest_path(path),
        "mode": None if mode is None else guest_mode(mode),
        "append": append,
        "parents": parents,
    }
    async with replied(connection, "write", fields) as stream:
        if isinstance(data, bytes | bytearray | memoryview):
            sent = memoryview(data).nbytes
            await stream.send(data)
        else:
            sent = await send_all(stream, data)
        end = await end_of_sending(stream)
        if end.integer("bytes") != sent:
            raise ProtocolError("another number of bytes than were sent")
        return sent


async def make_directory(
    connection: GuestConnection, path: str, *, parents: bool = False, mode: int | None = None
) -> None:
    """Make a directory. With ``parents`` missing ones above it too, and it may exist. Raises AlreadyExists."""
    fields: dict[str, JsonValue] = {
        "path": guest_path(path),
        "parents": parents,
        "mode": None if mode is None else guest_mode(mode),
    }
    await connection.call("mkdir", fields)


async def move(connection: GuestConnection, source: str, destination: str) -> None:
    """Rename; a file at ``destination`` is replaced."""
    await connection.call("move", {"source": guest_path(source), "destination": guest_path(destination)})


async def remove(connection: GuestConnection, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
    """Remove a file or a directory, which must be empty unless ``recursive``. Raises NotFound, Conflict."""
    fields: dict[str, JsonValue] = {"path": guest_path(path), "recursive": recursive, "missing_ok": missing_ok}
    await connection.call("remove", fields)


async def chmod(connection: GuestConnection, path: str, mode: int) -> None:
    """Set the permission bits."""
    await connection.call("chmod", {"path": guest_path(path), "mode": guest_mode(mode)})


class Watch:
    """Changes under a path, until closed. Inside ``async with`` every later change is seen."""

    def __init__(self, connection: GuestConnection, fields: dict[str, JsonValue]) -> None:
        self._connection = connection
        self._fields = fields
        self._stream: Stream | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._stream is None:
            self._stream = await self._stack.enter_async_context(replied(self._connection, "watch", self._fields))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FileChange:
        await self.__aenter__()
        assert self._stream is not None
        with self._connection.distrust():
            frame = await self._stream.receive()
            if frame.type is not FrameType.EVENT:
                raise ProtocolError(f"{frame.type.name} among changes of files")
            return _change(Payload(frame.payload))

    async def aclose(self) -> None:
        """Stop watching. Repeatable."""
        await self._stack.aclose()


def watch(connection: GuestConnection, path: str, *, recursive: bool = False) -> Watch:
    """Return the changes under a path: iterate over them, at best inside ``async with``. Raises NotFound there."""
    return Watch(connection, {"path": guest_path(path), "recursive": recursive})


async def send_all(stream: Stream, chunks: AsyncIterable[Chunk]) -> int:
    """Send what an iterable yields, stop when the guest ends the stream, close a generator. Return the bytes sent."""
    sent = 0
    try:
        async for chunk in chunks:
            sent += memoryview(chunk).nbytes
            await stream.send(chunk)
            if not stream.is_open:
                break
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()  # else it would stay suspended, with its files open, until it is collected
    return sent


async def end_of_sending(stream: Stream) -> Payload:
    """Send EOF and return the END. The guest may end the stream before that only with an ERROR."""
    complete = stream.is_open
    stream.send_eof()
    end = await expect(stream, FrameType.END)
    if not complete:
        raise ProtocolError("END before all the data was sent")
    return Payload(end.payload)


def guest_path(path: str) -> str:
    """Return a path as it goes to the guest. Raises InvalidArgument."""
    if not path or "\0" in path:
        raise InvalidArgument("a path cannot be empty or contain the NUL character")
    return to_json(path)


def guest_mode(mode: int) -> int:
    """Return permission bits as they go to the guest. Raises InvalidArgument."""
    if not 0 <= mode <= 0o7777:
        raise InvalidArgument(f"{mode:o} are not permission bits: 0 to 7777 in octal")
    return mode


def _entry(item: Payload) -> FileEntry:
    kind = item.text("type", most=16)
    if kind not in tuple(FileType):
        raise ProtocolError("unknown type of a file")
    return FileEntry(
        name=item.os_string("name"),
        type=FileType(kind),
        size=item.integer("size"),
        mode=item.integer("mode", most=0o7777),
        uid=item.integer("uid", most=2**32 - 1),
        gid=item.integer("gid", most=2**32 - 1),
        modified_at=item.instant("mtime_ns"),
        target=item.os_string("target") if item.has("target") else None,
    )


def _change(item: Payload) -> FileChange:
    kind = item.text("type", most=16)
    if kind not in tuple(ChangeType):
        raise ProtocolError("unknown type of a change")
    return FileChange(
        type=ChangeType(kind),
        path=item.os_string("path", default=""),
        cookie=item.integer("cookie", most=2**32 - 1) if item.has("cookie") else None,
    )
