"""Operations on files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aetherium.protocol.frames import GUEST_WINDOW, Frame, FrameType
from tests.guest.agent import Agent
from tests.guest.client import Client, GuestError, Json, os_bytes, os_string

root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.fixture
def work(client: Client) -> Path:
    return Path(client.hello["workdir"])


def refused(client: Client, op: str, **fields: object) -> str:
    with pytest.raises(GuestError) as caught:
        client.open(op, **fields).expect(FrameType.REPLY)
    return caught.value.code


def write(client: Client, path: str, content: bytes, **fields: object) -> Json:
    stream = client.open("write", path=path, **fields)
    stream.send(content)
    stream.eof()
    end = stream.collect().end
    assert end is not None
    return end


def read(client: Client, path: str, **fields: object) -> bytes:
    result = client.open("read", path=path, **fields).collect()
    assert result.end == {"bytes": len(result.stdout)}
    return result.stdout


def names(work: Path) -> list[str]:
    return sorted(os.listdir(work))


class TestStat:
    def test_every_kind(self, client: Client, work: Path) -> None:
        (work / "file").write_bytes(b"12345")
        (work / "file").chmod(0o4750)
        os.utime(work / "file", ns=(1, 1_234_567_890_123_456_789))
        (work / "directory").mkdir()
        (work / "symlink").symlink_to("file")
        os.mkfifo(work / "fifo")
        info = client.call("stat", path="file")
        expected = os.stat(work / "file")
        assert info == {
            "name": "file",
            "type": "file",
            "size": 5,
            "mode": 0o4750,
            "uid": expected.st_uid,
            "gid": expected.st_gid,
            "mtime_ns": 1_234_567_890_123_456_789,
        }
        for name in ("directory", "fifo"):
            assert client.call("stat", path=name)["type"] == name
        assert client.call("stat", path="/dev/null")["type"] == "char"
        assert client.call("stat", path=str(work / ".." / "agent.sock"))["type"] == "socket"

    def test_symbolic_link_is_followed_unless_told(self, client: Client, work: Path) -> None:
        (work / "link").symlink_to("nowhere")
        link = client.call("stat", path="link", follow=False)
        assert (link["type"], link["target"], link["name"]) == ("symlink", "nowhere", "link")
        assert refused(client, "stat", path="link") == "not_found"

    def test_time_before_1970(self, client: Client, work: Path) -> None:
        (work / "old").touch()
        os.utime(work / "old", ns=(0, -1_500_000_000))
        assert client.call("stat", path="old")["mtime_ns"] == -1_500_000_000

    def test_time_beyond_all_numbers(self, client: Client) -> None:
        assert client.run("touch", "-d", "@999999999999999", "/dev/shm/far").end is not None
        try:
            assert client.call("stat", path="/dev/shm/far")["mtime_ns"] > 4 * 10**18
            client.open("download", path="/dev/shm/far").collect()
        finally:
            client.call("remove", path="/dev/shm/far", missing_ok=True)

    def test_name_that_is_not_utf8(self, client: Client, work: Path) -> None:
        raw = b'\xff\xfe\n"\\'
        (Path(os.fsdecode(os.fsencode(work) + b"/" + raw))).touch()
        assert os_bytes(client.call("stat", path=os_string(raw))["name"]) == raw


class TestDir:
    def test_entries(self, client: Client, work: Path) -> None:
        (work / "a").write_bytes(b"x")
        (work / "b").mkdir()
        os.symlink(b"\xfe", os.fsencode(work) + b"/\xff")
        entries = {os_bytes(e["name"]): e for e in client.open("dir", path=".").collect(reply=False).events}
        assert set(entries) == {b"a", b"b", b"\xff"}
        assert [entries[n]["type"] for n in (b"a", b"b", b"\xff")] == ["file", "directory", "symlink"]
        assert os_bytes(entries[b"\xff"]["target"]) == b"\xfe"

    def test_more_than_the_window(self, client: Client, work: Path) -> None:
        for i in range(9000):
            (work / f"{'x' * 50}{i}").touch()
        stream = client.open("dir", path=".")
        while stream.held() < GUEST_WINDOW - 300:
            client.receive(10)
        client.ping()
        assert stream.held() <= GUEST_WINDOW
        stream.grant(10_000_000)
        entries = stream.collect(reply=False).events
        assert len({entry["name"] for entry in entries}) == 9000

    def test_errors(self, client: Client, work: Path) -> None:
        (work / "file").touch()
        assert refused(client, "dir", path="missing") == "not_found"
        assert refused(client, "dir", path="file") == "not_a_directory"


class TestRead:
    def test_whole_and_part(self, client: Client, work: Path) -> None:
        content = os.urandom(3_000_000)
        (work / "f").write_bytes(content)
        result = client.open("read", path="f").collect()
        assert result.reply == {"size": len(content)} and result.stdout == content and result.eofs == []
        assert read(client, "f", offset=100, length=70_000) == content[100:70_100]
        assert read(client, "f", offset=2_999_999) == content[-1:]
        assert read(client, "f", offset=5_000_000) == b""
        assert read(client, "f", length=0) == b""

    def test_file_without_a_size(self, client: Client) -> None:
        assert read(client, "/proc/self/cmdline").startswith(b"/")
        assert read(client, "/dev/zero", length=200_000) == bytes(200_000)

    def test_errors(self, client: Client, work: Path) -> None:
        os.mkfifo(work / "fifo")
        assert refused(client, "read", path="missing") == "not_found"
        assert refused(client, "read", path=".") == "is_a_directory"
        assert refused(client, "read", path="fifo") == "unsupported"

    def test_waits_for_credit_and_can_be_cancelled(self, client: Client) -> None:
        stream = client.open("read", path="/dev/zero")
        stream.expect(FrameType.REPLY)
        stream.wait_held(GUEST_WINDOW)
        stream.cancel()
        client.ping()


class TestWrite:
    def test_replaces_atomically(self, client: Client, work: Path) -> None:
        (work / "f").write_bytes(b"old")
        (work / "f").chmod(0o600)
        stream = client.open("write", path="f")
        stream.expect(FrameType.REPLY)
        stream.send(b"new content")
        client.ping()
        assert (work / "f").read_bytes() == b"old"
        stream.eof()
        assert stream.collect(reply=False).end == {"bytes": 11}
        assert (work / "f").read_bytes() == b"new content"
        assert stat.S_IMODE((work / "f").stat().st_mode) == 0o600
        assert names(work) == ["f"]

    @pytest.mark.parametrize("how", ["cancel", "close"])
    def test_unfinished_leaves_the_old_file(self, client: Client, work: Path, how: str, agent: Agent) -> None:
        (work / "f").write_bytes(b"old")
        stream = client.open("write", path="f")
        stream.expect(FrameType.REPLY)
        stream.send(b"new")
        client.ping()
        assert len(names(work)) == 2
        if how == "cancel":
            stream.cancel()
            client.ping()
        else:
            client.close()
            other = agent.connect()
            while other.call("metrics")["connections"] > 1:
                pass
        assert names(work) == ["f"] and (work / "f").read_bytes() == b"old"

    def test_large_and_empty(self, client: Client, work: Path) -> None:
        content = os.urandom(2_500_000)
        assert write(client, "big", content) == {"bytes": len(content)}
        assert (work / "big").read_bytes() == content
        assert write(client, "empty", b"") == {"bytes": 0}
        assert (work / "empty").read_bytes() == b""
        assert stat.S_IMODE((work / "empty").stat().st_mode) == 0o644

    def test_append(self, client: Client, work: Path) -> None:
        write(client, "log", b"one\n", append=True)
        inode = (work / "log").stat().st_ino
        write(client, "log", b"two\n", append=True)
        assert (work / "log").read_bytes() == b"one\ntwo\n" and (work / "log").stat().st_ino == inode

    def test_mode_and_parents(self, client: Client, work: Path) -> None:
        assert refused(client, "write", path="a/b/c") == "not_found"
        write(client, "a/b/c", b"x", parents=True, mode=0o4711)
        assert stat.S_IMODE((work / "a/b/c").stat().st_mode) == 0o4711

    @root_only
    def test_owner(self, client: Client, work: Path) -> None:
        write(client, "f", b"x", uid=1234, gid=5678, mode=0o4755)
        info = (work / "f").stat()
        assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (1234, 5678, 0o4755)

    def test_symbolic_link_is_replaced(self, client: Client, work: Path) -> None:
        (work / "target").write_bytes(b"safe")
        (work / "link").symlink_to("target")
        write(client, "link", b"new")
        assert not (work / "link").is_symlink() and (work / "target").read_bytes() == b"safe"

    def test_errors(self, client: Client, work: Path) -> None:
        os.mkfifo(work / "fifo")
        assert refused(client, "write", path=".") == "is_a_directory"
        assert refused(client, "write", path="fifo") == "unsupported"
        assert refused(client, "write", path="/dev/null") == "unsupported"
        (work / "file").touch()
        assert refused(client, "write", path="file/x") == "not_a_directory"
        assert refused(client, "write", path="file/x", parents=True) == "not_a_directory"

    def test_no_space(self, client: Client, work: Path) -> None:
        stream = client.open("write", path="/dev/full", append=True)
        with pytest.raises(GuestError) as caught:
            stream.expect(FrameType.REPLY)
        assert caught.value.code == "unsupported"

    def test_name_that_is_not_utf8(self, client: Client, work: Path) -> None:
        write(client, os_string(b"\xff"), b"x")
        assert os.listdir(os.fsencode(work)) == [b"\xff"]


def test_mkdir(client: Client, work: Path) -> None:
    client.call("mkdir", path="plain")
    client.call("mkdir", path="private", mode=0o700)
    assert stat.S_IMODE((work / "private").stat().st_mode) == 0o700
    assert refused(client, "mkdir", path="plain") == "already_exists"
    assert refused(client, "mkdir", path="a/b/c") == "not_found"
    client.call("mkdir", path="a//b/c/", parents=True)
    client.call("mkdir", path="a/b/c", parents=True)
    assert (work / "a/b/c").is_dir()
    (work / "file").touch()
    assert refused(client, "mkdir", path="file", parents=True) == "already_exists"
    assert refused(client, "mkdir", path="file/x", parents=True) == "not_a_directory"


def test_move(client: Client, work: Path) -> None:
    (work / "a").write_bytes(b"a")
    (work / "b").write_bytes(b"b")
    client.call("move", source="a", destination="b")
    assert names(work) == ["b"] and (work / "b").read_bytes() == b"a"
    assert refused(client, "move", source="a", destination="c") == "not_found"
    (work / "full").mkdir()
    (work / "full" / "x").touch()
    (work / "other").mkdir()
    assert refused(client, "move", source="other", destination="full") == "directory_not_empty"
    assert refused(client, "move", source="b", destination="full") == "is_a_directory"


def test_remove(client: Client, work: Path) -> None:
    (work / "f").touch()
    (work / "empty").mkdir()
    (work / "full").mkdir()
    (work / "full" / "x").touch()
    client.call("remove", path="f")
    client.call("remove", path="empty")
    assert refused(client, "remove", path="full") == "directory_not_empty"
    assert refused(client, "remove", path="gone") == "not_found"
    assert client.call("remove", path="gone", missing_ok=True) == {}
    assert client.call("remove", path="gone", missing_ok=True, recursive=True) == {}
    client.call("remove", path="full", recursive=True)
    assert names(work) == []


def test_remove_of_a_tree_follows_no_link_and_fears_no_depth(client: Client, work: Path) -> None:
    (work / "outside").mkdir()
    (work / "outside" / "kept").touch()
    tree = work / "tree"
    tree.mkdir()
    (tree / "link").symlink_to("../outside")
    for i in range(300):
        (tree / f"f{i}").touch()
        (tree / f"d{i}").mkdir()
        (tree / f"d{i}" / "x").touch()
    descriptor = os.open(tree, os.O_RDONLY)
    # Deeper than descriptors and PATH_MAX allow for.
    for _ in range(3000):
        os.mkdir("deep", dir_fd=descriptor)
        below = os.open("deep", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    client.call("remove", path="tree", recursive=True)
    assert names(work) == ["outside"] and names(work / "outside") == ["kept"]
    (work / "link").symlink_to("outside")
    client.call("remove", path="link", recursive=True)
    assert names(work / "outside") == ["kept"]


def test_chmod(client: Client, work: Path) -> None:
    (work / "f").touch()
    client.call("chmod", path="f", mode=0o7123)
    assert stat.S_IMODE((work / "f").stat().st_mode) == 0o7123
    assert refused(client, "chmod", path="missing", mode=0) == "not_found"
    assert refused(client, "chmod", path="f") == "invalid_argument"


@root_only
def test_disk_that_is_full(client: Client, work: Path) -> None:
    """An error on that stream, nothing left behind, and the agent goes on."""
    (work / "small").mkdir()
    mounted = os.system(f"mount -t tmpfs -o size=64k none {work / 'small'} 2>/dev/null") == 0
    if not mounted:
        pytest.skip("cannot mount here")
    try:
        stream = client.open("write", path="small/f")
        stream.expect(FrameType.REPLY)
        client.send(Frame(FrameType.DATA, stream.number, bytes(65536)))
        client.send(Frame(FrameType.DATA, stream.number, bytes(65536)))
        stream.eof()
        with pytest.raises(GuestError) as caught:
            stream.expect(FrameType.END)
        assert caught.value.code == "no_space"
        assert names(work / "small") == []
    finally:
        os.system(f"umount {work / 'small'}")
