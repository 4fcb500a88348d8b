"""Nothing in an archive, and nothing that lies in the destination, leads a write out of the destination."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aetherium.core.guest.unpack import Unpacker, UnpackLimits, unpack
from aetherium.model.errors import AetheriumError, InvalidArgument, PermissionDenied, ResourceExhausted
from aetherium.model.files import TreeCount

Entry = tuple[tarfile.TarInfo, bytes]


def entry(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644, mtime: int = 5
) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode, info.mtime = kind, target, len(data), mode, mtime
    return info, data


def directory(name: str, mode: int = 0o755) -> Entry:
    return entry(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return entry(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Entry:
    return entry(name, kind=tarfile.LNKTYPE, target=target)


def archive(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", encoding="utf-8", errors="surrogateescape") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def extract(
    destination: Path, *entries: Entry, limits: UnpackLimits | None = None, only: bytes | None = None, data: bytes = b""
) -> TreeCount:
    before = descriptors()
    unpacker = Unpacker(destination, limits or UnpackLimits(), only=only)
    try:
        unpacker.open()
        unpacker.feed([data or archive(*entries)])
        return unpacker.finish()
    finally:
        unpacker.close()
        unpacker.close()
        assert descriptors() == before


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the destination that must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(b"old")
    (place / "secret").chmod(0o600)
    yield place
    assert [path.name for path in place.iterdir()] == ["secret"]
    assert (place / "secret").read_bytes() == b"old"
    assert (place / "secret").stat().st_nlink == 1
    assert stat.S_IMODE((place / "secret").stat().st_mode) == 0o600


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "destination"


def test_a_tree(destination: Path) -> None:
    count = extract(
        destination,
        directory("./"),
        directory("a", 0o750),
        entry("a/file", b"data", mode=0o640, mtime=1_000_000_000),
        entry("a/empty"),
        symlink("a/link", "../elsewhere"),
        hard_link("b/again", "a/file"),
        entry("deep/er/file", b"x" * 3000),
        entry("na\udcffme", b"bytes"),
    )
    assert count == TreeCount(8, 4 + 3000 + 5)
    assert (destination / "a/file").read_bytes() == b"data"
    assert (destination / "a/file").stat().st_mtime_ns == 1_000_000_000 * 10**9
    assert stat.S_IMODE((destination / "a/file").stat().st_mode) == 0o640
    assert stat.S_IMODE((destination / "a").stat().st_mode) == 0o750
    assert (destination / "a").stat().st_mtime == 5
    assert os.readlink(destination / "a/link") == "../elsewhere"
    assert (destination / "a/link").lstat().st_mtime == 5
    assert (destination / "b/again").samefile(destination / "a/file")
    assert Path(os.fsdecode(os.fsencode(destination) + b"/na\xffme")).read_bytes() == b"bytes"


HOSTILE: list[tuple[str, list[Entry], str]] = [
    ("absolute", [entry("/etc/x", b"new")], "'/etc/x' leads out"),
    ("up", [entry("../outside/secret", b"new")], "'../outside/secret' leads out"),
    ("up inside", [entry("a/../../outside/secret", b"new")], "leads out"),
    ("up at the end", [directory("a/..")], "leads out"),
    ("absolute directory", [directory("/")], "leads out"),
    ("through a symlink", [symlink("a", "../outside"), entry("a/secret", b"new")], "'a/secret'"),
    ("through an absolute symlink", [symlink("a", "/proc/self/cwd"), entry("a/x", b"new")], "'a/x'"),
    ("through a link to here", [symlink("a", "."), entry("a/x", b"new")], "'a/x'"),
    ("through two", [symlink("a", "."), symlink("b", "a"), entry("b/a/x")], "'b/a/x'"),
    ("directory over a symlink", [symlink("a", "../outside"), directory("a", 0o777)], "'a/'"),
    ("directory below a symlink", [symlink("a", "../outside"), directory("a/new")], "'a/new/'"),
    ("symlink below a symlink", [symlink("a", "../outside"), symlink("a/new", "x")], "'a/new'"),
    (
        "hard link to outside",
        [hard_link("a", "../outside/secret"), entry("a", b"new")],
        "'../outside/secret' leads out",
    ),
    ("absolute hard link", [hard_link("a", "/etc/passwd")], "'/etc/passwd' leads out"),
    ("hard link to what was there", [hard_link("a", "mine")], "not a file unpacked before"),
    ("hard link to a symlink", [symlink("s", "../outside/secret"), hard_link("a", "s")], "not a file unpacked before"),
    ("hard link through a symlink", [symlink("s", "../outside"), hard_link("a", "s/secret")], "not a file unpacked"),
    (
        "hard link to a file that a symlink replaced",
        [entry("s"), symlink("s", "../outside/secret"), hard_link("a", "s")],
        "not a file unpacked before",
    ),
    ("hard link to itself", [entry("a"), hard_link("a", "a")], "not a file unpacked before"),
    ("hard link to a directory", [directory("d"), hard_link("a", "d")], "not a file unpacked before"),
    ("file over a directory", [directory("a"), entry("a", b"new")], "'a'"),
    ("file below a file", [entry("a"), entry("a/b")], "'a/b'"),
    ("no name", [entry(".", b"new")], "has no name"),
    ("a name too long", [entry("n" * 300)], "nnn"),
    ("empty symlink", [symlink("a", "")], "'a'"),
]


@pytest.mark.parametrize(("entries", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
@pytest.mark.usefixtures("outside")
def test_hostile_archives_are_refused(destination: Path, entries: list[Entry], message: str) -> None:
    destination.mkdir()
    (destination / "mine").write_bytes(b"mine")
    with pytest.raises(InvalidArgument) as caught:
        extract(destination, *entries)
    assert message in caught.value.message
    assert (destination / "mine").stat().st_nlink == 1


def test_what_lies_there_is_replaced_and_never_written_through(destination: Path, outside: Path) -> None:
    destination.mkdir()
    (destination / "link").symlink_to(outside / "secret")
    os.link(outside / "secret", destination / "hard")
    extract(destination, entry("link", b"new"), entry("hard", b"new"))
    assert (destination / "link").read_bytes() == b"new"
    assert not (destination / "link").is_symlink()
    assert (destination / "hard").read_bytes() == b"new"


@pytest.mark.usefixtures("outside")
def test_a_symlink_that_lies_there_is_not_followed(destination: Path) -> None:
    destination.mkdir()
    (destination / "a").symlink_to("../outside")
    with pytest.raises(InvalidArgument, match="'a/secret'"):
        extract(destination, entry("a/secret", b"new"))


@pytest.mark.usefixtures("outside")
def test_a_directory_swapped_for_a_symlink_is_not_followed(destination: Path) -> None:
    data = archive(directory("a"), directory("b"), entry("a/secret", b"new"))
    cut = len(archive(directory("a"), directory("b"))) - 10240 + 1024
    unpacker = Unpacker(destination, UnpackLimits())
    try:
        unpacker.open()
        unpacker.feed([data[:cut]])
        (destination / "a").rmdir()
        (destination / "a").symlink_to("../outside")
        with pytest.raises(InvalidArgument, match="'a/secret'"):
            unpacker.feed([data[cut:]])
    finally:
        unpacker.close()


def test_devices_are_left_out_and_dangerous_bits_dropped(destination: Path) -> None:
    count = extract(
        destination,
        entry("fifo", kind=tarfile.FIFOTYPE),
        entry("null", kind=tarfile.CHRTYPE),
        entry("disk", kind=tarfile.BLKTYPE),
        entry("setuid", b"#!", mode=0o6755),
        entry("locked", b"", mode=0),
        directory("sticky", 0o7000),
    )
    assert count.entries == 3
    assert sorted(path.name for path in destination.iterdir()) == ["locked", "setuid", "sticky"]
    assert stat.S_IMODE((destination / "setuid").stat().st_mode) == 0o755
    assert stat.S_IMODE((destination / "locked").stat().st_mode) == 0o600
    assert stat.S_IMODE((destination / "sticky").stat().st_mode) == 0o700


def test_times_of_directories_survive_what_comes_into_them_later(destination: Path) -> None:
    extract(destination, directory("a"), directory("a/b"), directory("c"), entry("a/b/file"), entry("c/file"))
    assert [(destination / name).stat().st_mtime for name in ("a", "a/b", "c")] == [5, 5, 5]


def test_a_directory_that_was_there_keeps_its_mode(destination: Path) -> None:
    (destination / "a").mkdir(parents=True)
    (destination / "a").chmod(0o711)
    extract(destination, directory("a", 0o777), entry("a/b"))
    assert stat.S_IMODE((destination / "a").stat().st_mode) == 0o711


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (UnpackLimits(entries=2), "more than 2 entries"),
        (UnpackLimits(bytes=9), "more than 9 bytes"),
        (UnpackLimits(depth=2), "more than 2 directories"),
    ],
)
def test_limits(destination: Path, limits: UnpackLimits, message: str) -> None:
    with pytest.raises(ResourceExhausted, match=message):
        extract(destination, entry("a", b"12345"), entry("b", b"12345"), entry("c/d/e"), limits=limits)


def test_a_deep_tree_uses_few_descriptors(destination: Path) -> None:
    names = ["/".join(["d"] * depth) + f"/{side}" for depth in range(1, 120) for side in "ab"]
    extract(destination, *[entry(name) for name in names], limits=UnpackLimits(depth=120))
    assert sum(len(files) for _, _, files in os.walk(destination)) == len(names)


def test_one_file_gets_the_name_asked_for(destination: Path) -> None:
    extract(destination, entry("whatever", b"data"), only=b"mine")
    assert [(path.name, path.read_bytes()) for path in destination.iterdir()] == [("mine", b"data")]


@pytest.mark.parametrize(
    "entries",
    [[], [directory("a")], [symlink("a", "b")], [entry("a"), entry("b")], [entry("a"), directory("c")]],
)
def test_one_file_means_one_file(destination: Path, entries: list[Entry]) -> None:
    with pytest.raises(InvalidArgument):
        extract(destination, *entries, only=b"mine")
    assert [path.name for path in destination.iterdir()] in ([], ["mine"])


def test_the_unfinished_file_is_removed(destination: Path) -> None:
    with pytest.raises(InvalidArgument, match="cut short"):
        extract(destination, data=archive(entry("whole", b"x"), entry("half", b"y" * 2000))[:3000])
    assert [path.name for path in destination.iterdir()] == ["whole"]


def test_the_destination_is_a_file(destination: Path) -> None:
    destination.write_bytes(b"")
    with pytest.raises(InvalidArgument, match="destination"):
        extract(destination, entry("a"))


def test_no_permission(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def symlink_denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # the tests may run as root, whom nothing is denied

    monkeypatch.setattr(os, "symlink", symlink_denied)
    with pytest.raises(PermissionDenied, match="'a'"):
        extract(destination, symlink("a", "b"))


def test_a_full_disk(destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def write(fd: int, data: memoryview) -> int:
        if os.fstat(fd).st_size:
            raise OSError(28, "No space left on device")
        return real(fd, data[:100])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(ResourceExhausted, match="'big': No space left"):
        extract(destination, entry("big", b"x" * 5000))
    assert not list(destination.iterdir())


async def test_unpacking_a_stream_that_breaks_leaves_no_half_file(destination: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield archive(entry("whole", b"x"), entry("half", b"y" * 2_000_000))[:1_500_000]
        raise ConnectionError

    before = descriptors()
    with pytest.raises(ConnectionError):
        await unpack(broken(), destination, UnpackLimits())
    assert [path.name for path in destination.iterdir()] == ["whole"]
    assert descriptors() == before


async def test_errors_come_out_of_the_thread(destination: Path) -> None:
    async def hostile() -> AsyncIterator[bytes]:
        yield archive(entry("../x"))

    with pytest.raises(AetheriumError, match="leads out"):
        await unpack(hostile(), destination, UnpackLimits())
