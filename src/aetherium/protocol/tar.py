"""Tar archives as a stream of hostile bytes, without I/O.

Reads ustar, pax (``path``, ``linkpath``, ``size``, ``mtime``) and GNU long names. Holds one header block and one
extension of at most 64 KiB, however large the archive is. Names are bytes and are not judged here: whoever writes files
from them does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

BLOCK: Final = 512
MAX_EXTENSION: Final = 64 * 1024
MAX_SIZE: Final = 1 << 50
_MAX_CHAIN: Final = 4  # extensions in front of one member
_MAX_TRAILER: Final = 1 << 20  # archivers pad to 10 KiB
_LATEST: Final = 1 << 34
_DECIMAL: Final = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]{0,30}))?")
_OCTAL: Final = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


class TarError(Exception):
    """The bytes are not a tar archive, or one that is refused."""


class MemberKind(Enum):
    """Kind of a member."""

    FILE = auto()
    DIRECTORY = auto()
    SYMLINK = auto()
    HARD_LINK = auto()
    OTHER = auto()


_KINDS: Final = {
    b"0": MemberKind.FILE,
    b"\0": MemberKind.FILE,
    b"7": MemberKind.FILE,
    b"1": MemberKind.HARD_LINK,
    b"2": MemberKind.SYMLINK,
    b"5": MemberKind.DIRECTORY,
}
_DEVICES: Final = frozenset({b"3", b"4", b"6"})


@dataclass(frozen=True, slots=True)
class Member:
    """One member's header. Exactly ``size`` bytes of data follow; ``target`` is a link's."""

    name: bytes
    kind: MemberKind
    size: int
    mode: int
    mtime_ns: int
    target: bytes


class TarReader:
    """Cuts an archive's bytes into members and their data.

    ``feed`` yields each Member followed by views of its data, which are valid until the next step of the iteration.
    Data of members of kind OTHER is dropped. ``close`` raises unless the archive was whole.
    """

    def __init__(self) -> None:
        self._block = bytearray()
        self._remaining = 0
        self._padding = 0
        self._wanted = False
        self._extension: bytearray | None = None
        self._extension_type = b""
        self._chain = 0
        self._pax: dict[bytes, bytes] = {}
        self._long: dict[bytes, bytes] = {}
        self._over = False
        self._trailer = 0

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Member | memoryview]:
        """Yield what ``data`` completes. Raises TarError."""
        view = memoryview(data)
        while view:
            if self._over:
                self._trailer += len(view)
                if self._trailer > _MAX_TRAILER:
                    raise TarError("endless bytes after the end of the archive")
                return
            if self._remaining:
                part, view = view[: self._remaining], view[self._remaining :]
                self._remaining -= len(part)
                if self._extension is not None:
                    self._extension += part
                    if not self._remaining:
                        self._end_extension()
                elif self._wanted:
                    yield part
            elif self._padding:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
            else:
                part = view[: BLOCK - len(self._block)]
                view = view[len(part) :]
                self._block += part
                if len(self._block) == BLOCK:
                    block = bytes(self._block)
                    self._block.clear()
                    member = self._on_header(block)
                    if member is not None:
                        yield member

    def close(self) -> None:
        """Raise TarError unless the end of the archive was seen."""
        if not self._over:
            raise TarError("the archive is cut short")

    def _on_header(self, block: bytes) -> Member | None:
        if not block.strip(b"\0"):
            if self._chain:
                raise TarError("an extension without a member")
            self._over = True
            return None
        if _number(block[148:156], "checksum") != sum(block) - sum(block[148:156]) + 8 * 0x20:
            raise TarError("a header's checksum is wrong")
        size = _number(block[124:136], "size")
        kind = block[156:157]
        if kind in b"xXgLK":
            self._begin_extension(kind, size)
            return None
        member = self._member(block, kind, size)
        self._pax, self._long, self._chain = {}, {}, 0
        return member

    def _begin_extension(self, kind: bytes, size: int) -> None:
        if size > MAX_EXTENSION:
            raise TarError(f"an extension of {size} bytes; at most {MAX_EXTENSION} are read")
        self._chain += 1
        if self._chain > _MAX_CHAIN:
            raise TarError("endless extensions")
        self._extension, self._extension_type = bytearray(), kind
        self._expect(size)
        if not size:
            self._end_extension()

    def _end_extension(self) -> None:
        assert self._extension is not None
        content, self._extension = bytes(self._extension), None
        if self._extension_type in (b"L", b"K"):
            self._long[self._extension_type] = content.rstrip(b"\0")
        elif self._extension_type != b"g":  # defaults for all members: nothing in them concerns us
            self._pax.update(_pax_records(content))

    def _member(self, block: bytes, code: bytes, size: int) -> Member:
        if code == b"S" or any(key.startswith(b"GNU.sparse.") for key in self._pax):
            raise TarError("a sparse file")
        if b"size" in self._pax:
            size = _decimal(self._pax[b"size"], "size")[0]
        if not 0 <= size <= MAX_SIZE:
            raise TarError(f"a member of {size} bytes")
        name = self._pax.get(b"path") or self._long.get(b"L") or _header_name(block)
        target = self._pax.get(b"linkpath") or self._long.get(b"K") or _text(block[157:257])
        if not name or b"\0" in name or b"\0" in target:
            raise TarError("a member's name is empty or has a NUL byte")
        kind = _KINDS.get(code, MemberKind.OTHER)
        if kind is MemberKind.FILE and name.endswith(b"/"):
            kind = MemberKind.DIRECTORY  # how archivers before ustar wrote them
        if size and (kind not in (MemberKind.FILE, MemberKind.OTHER) or code in _DEVICES):
            raise TarError("a member that cannot have data has some")
        self._expect(size)
        self._wanted = kind is MemberKind.FILE
        mode = _number(block[100:108], "mode") & 0o7777
        return Member(name, kind, size, mode, self._mtime_ns(block), target)

    def _mtime_ns(self, block: bytes) -> int:
        if b"mtime" in self._pax:
            seconds, nanoseconds = _decimal(self._pax[b"mtime"], "mtime")
        else:
            seconds, nanoseconds = _number(block[136:148], "mtime", signed=True), 0
        return max(-_LATEST, min(seconds, _LATEST)) * 1_000_000_000 + nanoseconds

    def _expect(self, size: int) -> None:
        self._remaining = size
        self._padding = -size % BLOCK


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _header_name(block: bytes) -> bytes:
    name = _text(block[0:100])
    # Only POSIX has a prefix there; GNU keeps other things in the same place.
    if block[257:263] == b"ustar\0" and block[345]:
        return _text(block[345:500]) + b"/" + name
    return name


def _number(field: bytes, what: str, *, signed: bool = False) -> int:
    if field[0] & 0x80:  # base-256, two's complement without the marking bit
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if value < 0 and not signed:
            raise TarError(f"a negative {what}")
        return value
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise TarError(f"a header's {what} is not a number")
    return int(match[1] or b"0", 8)


def _decimal(text: bytes, what: str) -> tuple[int, int]:
    """Return the number's floor and the nanoseconds above it."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise TarError(f"an extension's {what} is not a number")
    whole, nanoseconds = int(match[2]), int((match[3] or b"")[:9].ljust(9, b"0"))
    if not match[1]:
        return whole, nanoseconds
    return (-whole - 1, 1_000_000_000 - nanoseconds) if nanoseconds else (-whole, 0)


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """Return the records ``<length> <key>=<value>\\n`` that matter."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(content):
        space = content.find(b" ", position, position + 6)
        digits = content[position:space]
        if space < 0 or not digits.isdigit():
            raise TarError("a pax record without a length")
        end = position + int(digits)
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not space < end - 1 < len(content) or content[end - 1 : end] != b"\n" or not equals:
            raise TarError("a pax record that is not one")
        if key in (b"path", b"linkpath", b"size", b"mtime") or key.startswith(b"GNU.sparse."):
            records[key] = value
        position = end
    return records
