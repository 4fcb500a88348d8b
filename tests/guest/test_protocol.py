"""The connection: HELLO, PING, and what ends it."""

from __future__ import annotations

import json
import os
import struct
import time

import pytest

from aetherium.protocol.frames import HEADER, MAX_DATA, MAX_REQUEST, Frame, FrameType, encode
from tests.guest.agent import Agent
from tests.guest.client import Client, Closed, GuestError

HELLO = encode(Frame(FrameType.HELLO, 0, b'{"version":1,"client":"test"}'))


def test_hello_tells_who_the_agent_is(agent: Agent, client: Client) -> None:
    hello = client.hello
    assert hello["version"] == 1
    assert hello["pid"] == agent.process.pid
    assert hello["uid"] == os.getuid()
    assert len(bytes.fromhex(hello["boot"])) == 16
    assert hello["workdir"] == str(agent.workdir)
    assert {"exec", "attach", "upload", "shutdown"} <= set(hello["features"])
    assert agent.connect().hello["boot"] == hello["boot"]


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(64))])
def test_ping_brings_the_same_bytes_back(client: Client, payload: bytes) -> None:
    client.ping(payload)


def header(length: int, stream: int, kind: int, flags: int = 0, reserved: int = 0) -> bytes:
    return HEADER.pack(length, stream, kind, flags, reserved)


HOSTILE = {
    "garbage": b"\xff" * 64,
    "no hello": encode(Frame(FrameType.PING, 0, b"x")),
    "other version": encode(Frame(FrameType.HELLO, 0, b'{"version":2}')),
    "no version": encode(Frame(FrameType.HELLO, 0, b"{}")),
    "hello twice": HELLO + HELLO,
    "hello is no json": encode(Frame(FrameType.HELLO, 0, b"{,}")),
    "hello is a list": encode(Frame(FrameType.HELLO, 0, b"[1]")),
    "type 0": HELLO + header(0, 0, 0),
    "type 13": HELLO + header(0, 1, 13),
    "a type only the agent sends": HELLO + header(2, 1, FrameType.REPLY) + b"{}",
    "long ping": HELLO + header(65, 0, FrameType.PING),
    "long request": HELLO + header(MAX_REQUEST + 1, 1, FrameType.REQUEST),
    "long data": HELLO + header(MAX_DATA + 1, 1, FrameType.DATA),
    "empty data": HELLO + header(0, 1, FrameType.DATA),
    "short window": HELLO + header(3, 1, FrameType.WINDOW),
    "eof with payload": HELLO + header(1, 1, FrameType.EOF) + b"x",
    "flags": HELLO + header(2, 1, FrameType.REQUEST, flags=1) + b"{}",
    "reserved": HELLO + header(2, 1, FrameType.REQUEST, reserved=1) + b"{}",
    "request on stream 0": HELLO + header(2, 0, FrameType.REQUEST) + b"{}",
    "ping on a stream": HELLO + header(0, 1, FrameType.PING),
    "data on a stream never opened": HELLO + header(1, 7, FrameType.DATA) + b"x",
    "cancel of a stream never opened": HELLO + header(0, 1, FrameType.CANCEL),
    "request is no json": HELLO + encode(Frame(FrameType.REQUEST, 1, b'{"op":"list"')),
    "request is a list": HELLO + encode(Frame(FrameType.REQUEST, 1, b'["list"]')),
    "request is deep": HELLO + encode(Frame(FrameType.REQUEST, 1, b"[" * 100_000)),
    "request is not utf-8": HELLO + encode(Frame(FrameType.REQUEST, 1, b'{"op":"\xff"}')),
    "stream number used twice": HELLO + 2 * encode(Frame(FrameType.REQUEST, 1, b'{"op":"list"}')),
    "stream numbers backwards": HELLO
    + encode(Frame(FrameType.REQUEST, 2, b'{"op":"list"}'))
    + encode(Frame(FrameType.REQUEST, 1, b'{"op":"list"}')),
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
def test_broken_input_ends_that_connection_only(agent: Agent, client: Client, sent: bytes) -> None:
    hostile = agent.connect(greet=False)
    hostile.socket.sendall(sent)
    hostile.wait_closed()
    client.ping()


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 30])
def test_frame_that_is_cut_off(agent: Agent, client: Client, cut: int) -> None:
    hostile = agent.connect(greet=False)
    hostile.socket.sendall(HELLO[:cut])
    hostile.close()
    client.ping()
    deadline = time.monotonic() + 10
    while client.call("metrics")["connections"] != 1:  # the agent sees the end after the ping at the latest turn
        assert time.monotonic() < deadline


def test_frames_may_arrive_byte_by_byte(agent: Agent) -> None:
    slow = agent.connect(greet=False)
    for byte in HELLO + encode(Frame(FrameType.PING, 0, b"slow")):
        slow.socket.sendall(bytes([byte]))
    slow.receive(10)
    while len(slow.control) < 2:
        slow.receive(10)
    assert [frame.type for frame in slow.control] == [FrameType.HELLO, FrameType.PONG]


def test_data_beyond_the_window_ends_the_connection(agent: Agent, client: Client) -> None:
    greedy = agent.connect()
    stream = greedy.open("exec", id="deaf", argv=["sleep", "60"], stdin=True)
    stream.expect(FrameType.REPLY)
    # The pipe takes 64 KiB, for which credit comes back; the rest stays with the agent.
    for _ in range(6):
        greedy.send(Frame(FrameType.DATA, stream.number, bytes(MAX_DATA)))
    greedy.wait_closed()
    assert client.open("list").collect(reply=False).events[0]["state"] == "running"


def test_data_after_eof_ends_the_connection(agent: Agent, client: Client) -> None:
    confused = agent.connect()
    stream = confused.open("exec", id="x", argv=["sleep", "60"], stdin=True)
    stream.eof()
    confused.send(Frame(FrameType.DATA, stream.number, b"late"))
    confused.wait_closed()
    client.ping()


def test_frames_for_a_stream_that_has_ended_are_dropped(client: Client) -> None:
    stream = client.open("list")
    stream.collect(reply=False)
    for frame in (Frame(FrameType.DATA, 1, b"x"), Frame(FrameType.EOF, 1), Frame(FrameType.CANCEL, 1)):
        client.send(frame)
    client.send(Frame(FrameType.WINDOW, 1, struct.pack("<I", 2**32 - 1)))
    client.ping()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "invalid_argument"),
        ({"op": 3}, "invalid_argument"),
        ({"op": "nonsense"}, "unsupported"),
        ({"op": "stat"}, "invalid_argument"),
        ({"op": "stat", "path": ""}, "invalid_argument"),
        ({"op": "stat", "path": 5}, "invalid_argument"),
        ({"op": "stat", "path": "a\0b"}, "invalid_argument"),
        ({"op": "stat", "path": "\0!!"}, "invalid_argument"),
        ({"op": "read", "path": "x", "offset": -1}, "invalid_argument"),
        ({"op": "read", "path": "x", "offset": 1.5}, "invalid_argument"),
        ({"op": "read", "path": "x", "offset": 10**30}, "invalid_argument"),
        ({"op": "chmod", "path": "x", "mode": 0o10000}, "invalid_argument"),
        ({"op": "mkdir", "path": "x", "parents": 1}, "invalid_argument"),
    ],
)
def test_request_with_wrong_fields(client: Client, fields: dict[str, object], code: str) -> None:
    client.last += 1
    client.send(Frame(FrameType.REQUEST, client.last, json.dumps(fields).encode()))
    from tests.guest.client import Stream

    stream = client.streams[client.last] = Stream(client, client.last)
    with pytest.raises(GuestError) as caught:
        stream.expect(FrameType.REPLY)
    assert caught.value.code == code
    client.ping()


def test_unknown_and_null_fields_are_ignored(client: Client) -> None:
    assert client.call("stat", path=".", follow=None, other={"deep": [1, 2]})["type"] == "directory"


def test_at_most_1024_streams(client: Client) -> None:
    client.open("exec", id="one", argv=["sleep", "60"]).expect(FrameType.REPLY)
    streams = [client.open("attach", id="one") for _ in range(1024)]
    for stream in streams[:1023]:
        stream.expect(FrameType.REPLY)
    with pytest.raises(GuestError) as caught:
        streams[1023].expect(FrameType.REPLY)
    assert caught.value.code == "resource_exhausted"
    streams[0].cancel()
    client.open("attach", id="one").expect(FrameType.REPLY)


def test_at_most_32_connections(agent: Agent, client: Client) -> None:
    others = [agent.connect() for _ in range(31)]
    with pytest.raises((Closed, BrokenPipeError, ConnectionResetError)):
        agent.connect()
    others[0].close()
    client.ping()
    # The place becomes free as soon as the agent has seen the end.
    while client.call("metrics")["connections"] == 32:
        pass
    agent.connect().ping()


def test_host_that_sends_without_reading_costs_bounded_memory(agent: Agent, client: Client) -> None:
    client.call("mkdir", path="d")
    greedy = agent.connect()
    greedy.socket.setblocking(False)
    request = json.dumps({"op": "stat", "path": "d"}).encode()
    sent = 0
    for number in range(1, 200_001):
        try:
            if greedy.socket.send(encode(Frame(FrameType.REQUEST, number, request))) == 0:
                break
            sent += 1
        except BlockingIOError:
            # Give the agent time to handle what it has.
            client.ping()
            try:
                greedy.socket.send(b"")
                greedy.socket.send(encode(Frame(FrameType.REQUEST, number, request)))
            except BlockingIOError:
                break
    assert sent > 1000
    assert agent.rss_kib() < 8 * 1024
    client.ping()
