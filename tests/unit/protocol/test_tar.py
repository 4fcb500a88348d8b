"""The tar reader agrees with Python's tarfile on what is valid, and refuses the rest with bounded memory."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.protocol.tar import MAX_EXTENSION, Member, MemberKind, TarError, TarReader

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
TYPES = {
    tarfile.REGTYPE: MemberKind.FILE,
    tarfile.AREGTYPE: MemberKind.FILE,
    tarfile.CONTTYPE: MemberKind.FILE,
    tarfile.DIRTYPE: MemberKind.DIRECTORY,
    tarfile.SYMTYPE: MemberKind.SYMLINK,
    tarfile.LNKTYPE: MemberKind.HARD_LINK,
    tarfile.FIFOTYPE: MemberKind.OTHER,
    tarfile.CHRTYPE: MemberKind.OTHER,
    tarfile.BLKTYPE: MemberKind.OTHER,
}


@dataclass
class Item:
    name: bytes
    kind: bytes
    data: bytes
    target: bytes
    mode: int
    mtime: int


def read(pieces: list[bytes]) -> list[tuple[Member, bytes]]:
    reader = TarReader()
    found: list[tuple[Member, bytearray]] = []
    for piece in pieces:
        for item in reader.feed(piece):
            if isinstance(item, Member):
                found.append((item, bytearray()))
            else:
                found[-1][1].extend(item)
    reader.close()
    return [(member, bytes(data)) for member, data in found]


def archive(*infos: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for info, data in infos:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(data)
    return info, data


def header(**changes: bytes | int) -> bytes:
    """Return one header block with some of its fields overwritten at ``_<offset>`` and the checksum made right."""
    block = bytearray(tarfile.TarInfo("name").tobuf(tarfile.USTAR_FORMAT))
    for place, value in changes.items():
        field = value if isinstance(value, bytes) else b"%011o\0" % value
        block[int(place[1:]) : int(place[1:]) + len(field)] = field
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extension(kind: bytes, content: bytes) -> bytes:
    return header(_156=kind, _124=len(content)) + content + bytes(-len(content) % 512)


END = bytes(1024)

_parts = st.binary(min_size=1, max_size=60).filter(lambda part: b"\0" not in part and b"/" not in part)
_names = st.lists(_parts, min_size=1, max_size=6).map(b"/".join)
_short = st.text("abcdefghijkl/", min_size=1, max_size=90).map(lambda name: name.strip("/").encode() or b"x")


def items(names: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[Item]]:
    file = st.builds(
        Item,
        names,
        st.sampled_from([tarfile.REGTYPE, tarfile.CONTTYPE]),
        st.binary(max_size=1500),
        st.just(b""),
        st.integers(0, 0o7777),
        st.integers(0, 2**33 - 1),
    )
    other = st.builds(
        Item,
        names,
        st.sampled_from([tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]),
        st.just(b""),
        names,
        st.integers(0, 0o7777),
        st.integers(0, 2**33 - 1),
    )
    return st.lists(file | other, max_size=6)


def check(written: list[Item], form: int, cuts: list[int]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for item in written:
            info = tarfile.TarInfo(item.name.decode("utf-8", "surrogateescape"))
            info.type, info.size, info.mode, info.mtime = item.kind, len(item.data), item.mode, item.mtime
            if item.kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = item.target.decode("utf-8", "surrogateescape")
            tar.addfile(info, io.BytesIO(item.data))
    data = out.getvalue()
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    found = read([data[start:end] for start, end in pairwise(places)])
    for item, (member, content) in zip(written, found, strict=True):
        assert member.name.rstrip(b"/") == item.name.rstrip(b"/")
        assert (member.kind, member.mode, content) == (TYPES[item.kind], item.mode, item.data)
        assert member.mtime_ns == item.mtime * 1_000_000_000
        if item.kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            assert member.target == item.target


@given(items(_names), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.lists(st.integers(0, 2**31)))
def test_reads_what_tarfile_writes(written: list[Item], form: int, cuts: list[int]) -> None:
    check(written, form, cuts)


@given(items(_short), st.sampled_from(FORMATS), st.lists(st.integers(0, 2**31)))
def test_reads_plain_names_in_every_format(written: list[Item], form: int, cuts: list[int]) -> None:
    check(written, form, cuts)


def test_ustar_prefix() -> None:
    name = "d" * 99 + "/" + "f" * 90
    assert [member.name for member, _ in read([archive(entry(name), form=tarfile.USTAR_FORMAT)])] == [name.encode()]


@pytest.mark.parametrize("form", [1, 2])
def test_sizes_above_8_gib(form: Literal[1, 2]) -> None:
    info = tarfile.TarInfo("big")
    info.size = 9 << 30
    blocks = info.tobuf(form)
    assert next(item for item in TarReader().feed(blocks) if isinstance(item, Member)).size == 9 << 30


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [(1.5, 1_500_000_000), (-1.25, -1_250_000_000), (-3, -3_000_000_000), (1e15, (1 << 34) * 10**9)],
)
def test_times(mtime: float, expected: int) -> None:
    info = tarfile.TarInfo("a")
    info.mtime = mtime
    [(member, _)] = read([archive((info, b""))])
    assert member.mtime_ns == expected


def test_negative_base_256_time() -> None:
    info = tarfile.TarInfo("a")
    info.mtime = -5
    [(member, _)] = read([archive((info, b""), form=tarfile.GNU_FORMAT)])
    assert member.mtime_ns == -5_000_000_000


def test_what_is_not_for_us_is_passed_over() -> None:
    stranger = header(_156=b"Z", _124=700) + bytes(1024)
    defaults = extension(b"g", b"16 path=ignored\n")
    data = defaults + stranger + archive(entry("file", b"data"))
    assert [(member.kind, content) for member, content in read([data])] == [
        (MemberKind.OTHER, b""),
        (MemberKind.FILE, b"data"),
    ]


def test_old_directories_are_known_by_their_slash() -> None:
    [(member, _)] = read([header(_0=b"dir/", _156=b"\0") + END])
    assert member.kind is MemberKind.DIRECTORY


def test_an_extension_is_for_one_member_only() -> None:
    long_name = extension(b"L", b"long\0") + header() + header() + END
    assert [member.name for member, _ in read([long_name])] == [b"long", b"name"]


HOSTILE: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "cut short"),
    ("no end", header(), "cut short"),
    ("half a header", header()[:300], "cut short"),
    ("cut in data", header(_124=600) + bytes(512), "cut short"),
    ("bad checksum", header()[:10] + b"!" + header()[11:] + END, "checksum is wrong"),
    ("checksum no number", header()[:148] + b"zzzzzzzz" + header()[156:] + END, "checksum is not a number"),
    ("noise", bytes(range(256)) * 4, "checksum"),
    ("size no number", header(_124=b"9999999999z\0") + END, "size is not a number"),
    ("negative size", header(_124=b"\xff" * 12) + END, "negative size"),
    ("absurd size", header(_124=b"\x80" + b"\x7f" * 11) + END, "a member of"),
    ("absurd pax size", extension(b"x", b"28 size=9999999999999999999\n") + header() + END, "a member of"),
    ("negative pax size", extension(b"x", b"11 size=-1\n") + header() + END, "a member of -"),
    ("pax size no number", extension(b"x", b"12 size=1e9\n") + header() + END, "not a number"),
    ("endless pax size digits", extension(b"x", b"1009 size=" + b"9" * 998 + b"\n") + header() + END, "not a number"),
    ("pax time no number", extension(b"x", b"13 mtime=nan\n") + header() + END, "not a number"),
    ("huge pax", header(_156=b"x", _124=MAX_EXTENSION + 1), "an extension of 65537"),
    ("huge global pax", header(_156=b"g", _124=1 << 30), "an extension of"),
    ("huge GNU name", header(_156=b"L", _124=1 << 30), "an extension of"),
    ("pax without length", extension(b"x", b"path=a\n") + header() + END, "without a length"),
    ("pax length too short", extension(b"x", b"1 path=a\n") + header() + END, "is not one"),
    ("pax length zero", extension(b"x", b"0 path=a\n") + header() + END, "is not one"),
    ("pax length too long", extension(b"x", b"99 path=a\n") + header() + END, "is not one"),
    ("pax length signed", extension(b"x", b"-9 path=a\n") + header() + END, "without a length"),
    ("pax without value", extension(b"x", b"8 pathx\n") + header() + END, "is not one"),
    ("pax without newline", extension(b"x", b"9 path=ab") + header() + END, "is not one"),
    ("NUL in a pax path", extension(b"x", b"12 path=a\0b\n") + header() + END, "NUL byte"),
    ("NUL in a pax link", extension(b"x", b"16 linkpath=a\0b\n") + header(_156=b"2") + END, "NUL byte"),
    ("NUL in a GNU name", extension(b"L", b"a\0b") + header() + END, "NUL byte"),
    ("empty name", header(_0=bytes(100)) + END, "name is empty"),
    ("extension at the end", extension(b"x", b"10 path=a\n") + END, "without a member"),
    ("endless extensions", extension(b"g", b"") * 5 + header() + END, "endless extensions"),
    ("old GNU sparse", header(_156=b"S") + END, "sparse"),
    ("pax sparse", extension(b"x", b"22 GNU.sparse.major=1\n") + header() + END, "sparse"),
    ("link with data", header(_156=b"1", _124=512) + bytes(512) + END, "cannot have data"),
    ("symlink with data", header(_156=b"2", _124=512) + bytes(512) + END, "cannot have data"),
    ("directory with data", header(_156=b"5", _124=512) + bytes(512) + END, "cannot have data"),
    ("device with data", header(_156=b"3", _124=512) + bytes(512) + END, "cannot have data"),
    ("mode no number", header(_100=b"rwxr-xr-") + END, "mode is not a number"),
    ("endless trailer", END + bytes(2 << 20), "after the end"),
]


@pytest.mark.parametrize(("data", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
@pytest.mark.parametrize("cut", [lambda data: [data], lambda data: [data[i : i + 7] for i in range(0, len(data), 7)]])
def test_hostile_archives_are_refused(data: bytes, message: str, cut: Callable[[bytes], list[bytes]]) -> None:
    with pytest.raises(TarError, match=message):
        read(cut(data))


@given(st.binary(max_size=3000))
def test_arbitrary_bytes(data: bytes) -> None:
    with suppress(TarError):
        read([data])


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(source: st.DataObject) -> None:
    data = bytearray(archive(entry("a" * 150, b"x" * 700), entry("b", kind=tarfile.SYMTYPE, target="é" * 120)))
    for _ in range(source.draw(st.integers(1, 5))):
        data[source.draw(st.integers(0, len(data) - 1))] = source.draw(st.integers(0, 255))
    with suppress(TarError):
        read([bytes(data)])


def test_memory_does_not_grow_with_the_archive() -> None:
    piece = extension(b"x", b"65000 comment=" + b"c" * 64985 + b"\n") + header(_124=200_000) + bytes(200_192)
    reader = TarReader()
    tracemalloc.start()
    try:
        for _ in range(100):
            for _item in reader.feed(piece):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_EXTENSION


def test_many_records_in_one_extension_are_read_in_linear_time() -> None:
    content = b"5 a=\n" * (MAX_EXTENSION // 5)
    data = (extension(b"x", content) + header()) * 20 + END
    assert len(read([data])) == 20
