"""upload and download against Python's tarfile."""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherium.protocol.frames import GUEST_WINDOW, FrameType
from tests.guest.client import Client, GuestError, Json


@pytest.fixture
def work(client: Client) -> Path:
    return Path(client.hello["workdir"])


def upload(client: Client, data: bytes, path: str = "into") -> Json:
    stream = client.open("upload", path=path)
    assert stream.expect(FrameType.REPLY) == {}
    stream.send(data)
    stream.eof()
    end = stream.collect(reply=False).end
    assert end is not None
    return end


def upload_refused(client: Client, data: bytes) -> str:
    with pytest.raises(GuestError) as caught:
        upload(client, data)
    return caught.value.code


def archive(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, link, mode, 1_000_000_000
    return info


LONG = "/".join(["d" * 120, "e" * 120, "f" * 200])


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_upload(client: Client, work: Path, format: int) -> None:
    content = random.Random(1).randbytes(300_001)
    data = archive(
        (member(".", tarfile.DIRTYPE, mode=0o755), b""),
        (member("empty"), b""),
        (member("big", mode=0o755), content),
        (member("block"), bytes(512)),
        (member("dir", tarfile.DIRTYPE, mode=0o750), b""),
        (member("dir/./inner"), b"inner"),
        (member("made/by/need"), b"parents"),
        (member(LONG), b"long"),
        (member("symlink", tarfile.SYMTYPE, "../anywhere/" + "x" * 150), b""),
        (member("dangling", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("hard", tarfile.LNKTYPE, "big"), b""),
        (member("longhard", tarfile.LNKTYPE, LONG), b""),
        (member("fifo", tarfile.FIFOTYPE), b""),
        (member("device", tarfile.CHRTYPE), b""),
        (member("suid", mode=0o4711), b"s"),
        (member("locked", tarfile.DIRTYPE, mode=0o500), b""),
        (member("locked/file"), b"in"),
        format=format,
    )
    end = upload(client, data)
    assert end == {"entries": 14, "bytes": len(content) + 512 + 5 + 7 + 4 + 1 + 2}
    into = work / "into"
    assert (into / "big").read_bytes() == content and (into / "big").stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE((into / "big").stat().st_mode) == 0o755
    assert (into / "block").read_bytes() == bytes(512) and (into / "empty").read_bytes() == b""
    assert (into / "dir/inner").read_bytes() == b"inner" and stat.S_IMODE((into / "dir").stat().st_mode) == 0o750
    assert (into / "made/by/need").read_bytes() == b"parents"
    assert (into / LONG).read_bytes() == b"long"
    assert os.readlink(into / "symlink") == "../anywhere/" + "x" * 150
    assert os.readlink(into / "dangling") == "/etc/passwd"
    assert (into / "hard").stat().st_ino == (into / "big").stat().st_ino
    assert (into / "longhard").stat().st_ino == (into / LONG).stat().st_ino
    assert not (into / "fifo").exists() and not (into / "device").exists()
    assert stat.S_IMODE((into / "suid").stat().st_mode) == 0o4711
    assert stat.S_IMODE((into / "locked").stat().st_mode) == 0o500 and (into / "locked/file").read_bytes() == b"in"


def test_ustar_prefix(client: Client, work: Path) -> None:
    name = "p" * 100 + "/" + "n" * 90
    upload(client, archive((member(name), b"x"), format=tarfile.USTAR_FORMAT))
    assert (work / "into" / name).read_bytes() == b"x"


def test_names_that_are_not_utf8(client: Client, work: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as tar:
        for raw in (b"\xff\xfe", b"\xff" * 150):
            tar.addfile(member(os.fsdecode(raw)))
    upload(client, buffer.getvalue())
    assert sorted(os.listdir(os.fsencode(work / "into"))) == [b"\xff\xfe", b"\xff" * 150]


def test_upload_byte_by_byte(client: Client, work: Path) -> None:
    data = archive((member("a" * 120), b"x" * 700), (member("b"), b"y"))
    stream = client.open("upload", path="into")
    for start in range(0, len(data), 7):
        stream.send(data[start : start + 7])
    stream.eof()
    assert stream.collect().end == {"entries": 2, "bytes": 701}
    assert (work / "into" / ("a" * 120)).read_bytes() == b"x" * 700


def test_upload_replaces_what_is_there(client: Client, work: Path) -> None:
    into = work / "into"
    (into / "dir").mkdir(parents=True)
    (into / "dir" / "kept").touch()
    (into / "file").write_bytes(b"old")
    (into / "link").symlink_to("../outside")
    (work / "outside").write_bytes(b"outside")
    data = archive(
        (member("dir", tarfile.DIRTYPE, mode=0o755), b""),
        (member("file"), b"new"),
        (member("link"), b"file now"),
        (member("again", tarfile.SYMTYPE, "one"), b""),
        (member("again", tarfile.SYMTYPE, "two"), b""),
        (member("hard", tarfile.LNKTYPE, "file"), b""),
        (member("hard", tarfile.LNKTYPE, "file"), b""),
        (member("file", tarfile.LNKTYPE, "file"), b""),
    )
    upload(client, data)
    assert (into / "file").read_bytes() == b"new" and (into / "dir" / "kept").exists()
    assert not (into / "link").is_symlink() and (into / "link").read_bytes() == b"file now"
    assert (work / "outside").read_bytes() == b"outside"
    assert os.readlink(into / "again") == "two"


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute": (lambda: archive((member("/tmp/evil"), b"x")), "invalid_argument"),
    "up": (lambda: archive((member("../evil"), b"x")), "invalid_argument"),
    "up within": (lambda: archive((member("a/../../evil"), b"x")), "invalid_argument"),
    "up at the end": (lambda: archive((member("a/..", tarfile.DIRTYPE), b"")), "invalid_argument"),
    "absolute hard link": (lambda: archive((member("h", tarfile.LNKTYPE, "/etc/passwd"), b"")), "invalid_argument"),
    "hard link up": (lambda: archive((member("h", tarfile.LNKTYPE, "../outside"), b"")), "invalid_argument"),
    "hard link to nothing": (lambda: archive((member("h", tarfile.LNKTYPE, "missing"), b"")), "not_found"),
    "through a link": (
        lambda: archive((member("l", tarfile.SYMTYPE, ".."), b""), (member("l/evil"), b"x")),
        "not_a_directory",
    ),
    "directory over a link": (
        lambda: archive((member("l", tarfile.SYMTYPE, ".."), b""), (member("l", tarfile.DIRTYPE), b"")),
        "not_a_directory",
    ),
    "hard link through a link": (
        lambda: archive((member("l", tarfile.SYMTYPE, ".."), b""), (member("h", tarfile.LNKTYPE, "l/outside"), b"")),
        "not_a_directory",
    ),
    "file over a directory": (
        lambda: archive((member("d", tarfile.DIRTYPE), b""), (member("d"), b"x")),
        "is_a_directory",
    ),
    "through a file": (lambda: archive((member("f"), b""), (member("f/evil"), b"x")), "not_a_directory"),
    "cut off in a header": (lambda: archive((member("f"), b"x"))[:300], "invalid_argument"),
    "cut off in a body": (lambda: archive((member("f"), b"x" * 5000))[:3000], "invalid_argument"),
    "no tar": (lambda: b"this is no tar" * 100, "invalid_argument"),
    "random": (lambda: random.Random(7).randbytes(5000), "invalid_argument"),
    "broken pax": (lambda: archive((member("x" * 120), b"")).replace(b" path=", b" path ", 1), "invalid_argument"),
    "huge pax": (lambda: _with_extra(b"x", 2_000_000), "invalid_argument"),
    "huge name": (lambda: _with_extra(b"L", 2_000_000), "invalid_argument"),
}


def _with_extra(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("extra")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


@pytest.mark.parametrize(("make", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_upload(client: Client, work: Path, make: Callable[[], bytes], code: str) -> None:
    (work / "outside").write_bytes(b"outside")
    assert upload_refused(client, make()) == code
    assert sorted(os.listdir(work)) == ["into", "outside"]
    assert (work / "outside").stat().st_nlink == 1
    assert not Path("/tmp/evil").exists()
    client.ping()


def test_upload_to_a_place_that_is_not_there(client: Client, work: Path) -> None:
    upload(client, archive((member("f"), b"x")), path="new/deep/place")
    assert (work / "new/deep/place/f").read_bytes() == b"x"
    (work / "file").touch()
    with pytest.raises(GuestError) as caught:
        upload(client, archive(), path="file")
    assert caught.value.code == "not_a_directory"


def download(client: Client, path: str) -> tuple[dict[str, tarfile.TarInfo], tarfile.TarFile, Json]:
    result = client.open("download", path=path).collect()
    assert result.reply == {} and result.eofs == [0] and result.end is not None
    assert len(result.stdout) % 512 == 0
    tar = tarfile.open(fileobj=io.BytesIO(result.stdout), errors="surrogateescape")  # noqa: SIM115
    members = {m.name: m for m in tar.getmembers()}
    assert result.end["entries"] == len(tar.getmembers())
    return members, tar, result.end


def test_download_of_a_directory(client: Client, work: Path) -> None:
    tree = work / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "sub" / "deeper").mkdir(parents=True)
    content = random.Random(2).randbytes(1_500_000)
    (tree / "big").write_bytes(content)
    os.utime(tree / "big", (5, 1_234_567_890))
    (tree / "big").chmod(0o4750)
    (tree / "sub" / "small").write_bytes(b"small")
    (tree / "sub" / "deeper" / "zero").touch()
    (tree / "link").symlink_to("sub/" + "t" * 180)
    os.link(tree / "big", tree / "sub" / "same")
    os.mkfifo(tree / "fifo")
    long = "n" * 200
    (tree / "sub" / long).write_bytes(b"long")
    (Path(os.fsdecode(os.fsencode(tree) + b"/" + b"\xff" * 120))).write_bytes(b"raw")
    members, tar, end = download(client, "tree")
    raw = os.fsdecode(b"\xff" * 120)
    assert set(members) == {
        "empty",
        "sub",
        "sub/deeper",
        "big",
        "sub/small",
        "sub/deeper/zero",
        "link",
        "sub/same",
        f"sub/{long}",
        raw,
    }
    first, second = ("big", "sub/same") if members["big"].isreg() else ("sub/same", "big")
    assert members[second].islnk() and members[second].linkname == first
    assert tar.extractfile(members[first]).read() == content  # type: ignore[union-attr]
    assert (members[first].mode, members[first].mtime) == (0o4750, 1_234_567_890)
    assert members["link"].issym() and members["link"].linkname == "sub/" + "t" * 180
    assert members["empty"].isdir() and members["sub/deeper"].isdir()
    assert tar.extractfile(members[f"sub/{long}"]).read() == b"long"  # type: ignore[union-attr]
    assert tar.extractfile(members[raw]).read() == b"raw"  # type: ignore[union-attr]
    assert end["bytes"] == len(content) + 5 + 4 + 3


def test_download_of_a_file(client: Client, work: Path) -> None:
    (work / "d").mkdir()
    (work / "d" / "f").write_bytes(b"content")
    members, tar, end = download(client, "d/f")
    assert list(members) == ["f"] and tar.extractfile(members["f"]).read() == b"content"  # type: ignore[union-attr]
    assert end == {"entries": 1, "bytes": 7}


def test_download_of_nothing_and_of_much(client: Client, work: Path) -> None:
    (work / "empty").mkdir()
    members, _, end = download(client, "empty")
    assert members == {} and end == {"entries": 0, "bytes": 0}
    for i in range(2000):
        (work / "empty" / f"f{i}").write_bytes(b"x" * i)
    members, _, end = download(client, "empty")
    assert len(members) == 2000 and end["bytes"] == sum(range(2000))


def test_download_errors(client: Client, work: Path) -> None:
    os.mkfifo(work / "fifo")
    for path, code in (("missing", "not_found"), ("fifo", "unsupported")):
        with pytest.raises(GuestError) as caught:
            client.open("download", path=path).collect()
        assert caught.value.code == code


def test_download_waits_for_credit(client: Client, work: Path) -> None:
    (work / "d").mkdir()
    (work / "d" / "f").write_bytes(bytes(3_000_000))
    stream = client.open("download", path="d")
    stream.expect(FrameType.REPLY)
    stream.wait_held(GUEST_WINDOW)
    stream.grant(10_000_000)
    held = stream.collect(reply=False).stdout
    assert len(held) == 512 + -(-3_000_000 // 512) * 512 + 1024


def test_there_and_back(client: Client, work: Path) -> None:
    source = random.Random(3)
    tree = work / "one"
    for i in range(60):
        directory = tree / "/".join(source.choice("abc") * 40 for _ in range(source.randrange(4)))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"f{i}").write_bytes(source.randbytes(source.randrange(3000)))
    data = client.open("download", path="one").collect().stdout
    upload(client, data, path="two")

    def content(top: Path) -> dict[str, bytes | None]:
        return {str(p.relative_to(top)): p.read_bytes() if p.is_file() else None for p in top.rglob("*")}

    assert content(work / "two") == content(tree)
