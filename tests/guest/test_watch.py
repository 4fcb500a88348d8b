"""watch: changes as events."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aetherium.protocol.frames import FrameType
from tests.guest.client import Client, GuestError, Json, Stream, os_bytes


@pytest.fixture
def work(client: Client) -> Path:
    return Path(client.hello["workdir"])


def watch(client: Client, path: str = ".", *, recursive: bool = False) -> Stream:
    stream = client.open("watch", path=path, recursive=recursive)
    assert stream.expect(FrameType.REPLY) == {}
    return stream


def until(stream: Stream, kind: str, path: str) -> list[Json]:
    """Return the events up to and with the one wished for."""
    events: list[Json] = []
    while not events or (events[-1]["type"], events[-1]["path"]) != (kind, path):
        events.append(stream.expect(FrameType.EVENT))
    return events


def test_every_type(client: Client, work: Path) -> None:
    stream = watch(client)
    (work / "f").write_bytes(b"x")
    events = until(stream, "modified", "f")
    assert [event["type"] for event in events] == ["created", "modified"]
    (work / "f").chmod(0o600)
    until(stream, "attributes", "f")
    (work / "f").rename(work / "g")
    events = until(stream, "moved_to", "g")
    assert (events[-2]["type"], events[-2]["path"]) == ("moved_from", "f")
    assert events[-2]["cookie"] == events[-1]["cookie"] > 0
    (work / "g").unlink()
    until(stream, "removed", "g")


def test_only_the_directory_itself_unless_recursive(client: Client, work: Path) -> None:
    (work / "sub").mkdir()
    stream = watch(client)
    (work / "sub" / "unseen").touch()
    (work / "seen").touch()
    assert "unseen" not in str(until(stream, "created", "seen"))


def test_new_directories_join_a_recursive_watch(client: Client, work: Path) -> None:
    (work / "old" / "older").mkdir(parents=True)
    stream = watch(client, recursive=True)
    (work / "old" / "older" / "f").touch()
    until(stream, "created", "old/older/f")
    (work / "new" / "newer").mkdir(parents=True)
    (work / "new" / "newer" / "quick").touch()
    # Whether or not the file was there before the watch was, it is told.
    seen = {event["path"] for event in until(stream, "created", "new/newer/quick")}
    assert {"new", "new/newer"} <= seen
    (work / "new" / "newer" / "later").touch()
    until(stream, "created", "new/newer/later")


def test_directories_that_move(client: Client, work: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    stream = watch(client, recursive=True)
    (work / "a").rename(work / "z")
    until(stream, "moved_to", "z")
    client.ping()
    (work / "z" / "b" / "f").touch()
    until(stream, "created", "z/b/f")
    (work / "z").rename(work.parent / "gone")
    until(stream, "moved_from", "z")
    client.ping()
    (work.parent / "gone" / "b" / "unseen").touch()
    (work / "end").touch()
    assert "unseen" not in str(until(stream, "created", "end"))


def test_removed_tree(client: Client, work: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    stream = watch(client, recursive=True)
    (work / "a" / "b").rmdir()
    (work / "a").rmdir()
    paths = [event["path"] for event in until(stream, "removed", "a") if event["type"] == "removed"]
    assert paths == ["a/b", "a"]


def test_a_file_and_the_root_itself(client: Client, work: Path) -> None:
    (work / "f").touch()
    stream = watch(client, "f")
    (work / "f").write_bytes(b"x")
    until(stream, "modified", "")
    (work / "f").unlink()
    until(stream, "removed", "")


def test_name_that_is_not_utf8(client: Client, work: Path) -> None:
    stream = watch(client)
    os.mkdir(os.fsencode(work) + b"/\xff")
    assert os_bytes(stream.expect(FrameType.EVENT)["path"]) == b"\xff"


def test_cancel_and_errors(client: Client, work: Path) -> None:
    stream = watch(client)
    stream.cancel()
    (work / "f").touch()
    client.ping()
    assert not stream.inbox
    with pytest.raises(GuestError) as caught:
        client.open("watch", path="missing").expect(FrameType.REPLY)
    assert caught.value.code == "not_found"


def test_more_changes_than_the_window(client: Client, work: Path) -> None:
    stream = watch(client)
    for i in range(12_000):
        (work / f"{'x' * 60}{i}").touch()
    while stream.held() < 1024 * 1024 - 300:
        client.receive(10)
    client.ping()
    assert stream.held() <= 1024 * 1024
    stream.grant(100_000_000)
    # The kernel's queue holds 16384: either all came, or an overflow says that some did not.
    created = 0
    while created < 12_000:
        event = stream.expect(FrameType.EVENT)
        if event["type"] == "overflow":
            break
        created += event["type"] == "created"
