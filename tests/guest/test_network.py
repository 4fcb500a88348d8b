"""connect and ports."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from aetherium.protocol.frames import GUEST_WINDOW, FrameType
from tests.guest.client import Client, GuestError, Stream


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def tunnel(client: Client, server: socket.socket) -> tuple[Stream, socket.socket]:
    stream = client.open("connect", port=server.getsockname()[1])
    peer, _ = server.accept()
    peer.settimeout(10)
    assert stream.expect(FrameType.REPLY) == {}
    return stream, peer


def test_both_ways_and_both_ends(client: Client, server: socket.socket) -> None:
    stream, peer = tunnel(client, server)
    with peer:
        stream.send(b"question")
        assert peer.recv(100) == b"question"
        stream.eof()
        assert peer.recv(100) == b""
        peer.sendall(b"answer")
        peer.shutdown(socket.SHUT_WR)
        result = stream.collect(reply=False)
    assert result.stdout == b"answer" and result.eofs == [0] and result.end == {}


def test_much_both_ways_at_once(client: Client, server: socket.socket) -> None:
    stream, peer = tunnel(client, server)
    content = os.urandom(4_000_000)

    def echo() -> None:
        with peer:
            while data := peer.recv(65536):
                peer.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    echoed = bytearray()

    def take() -> None:
        while stream.inbox and stream.inbox[0].type in (FrameType.DATA, FrameType.WINDOW):
            frame = stream.inbox.popleft()
            if frame.type is FrameType.DATA:
                echoed.extend(frame.payload)
                stream.grant(len(frame.payload))

    for start in range(0, len(content), 50_000):
        stream.send(content[start : start + 50_000])
        take()
    stream.eof()
    while len(echoed) < len(content):
        client.receive(10)
        take()
    thread.join(10)
    assert bytes(echoed) == content
    stream.collect(reply=False)


def test_peer_that_floods_waits_for_credit(client: Client, server: socket.socket) -> None:
    stream, peer = tunnel(client, server)

    def flood() -> None:
        with peer:
            peer.sendall(bytes(20_000_000))

    thread = threading.Thread(target=flood)
    thread.start()
    stream.wait_held(GUEST_WINDOW)
    stream.grant(100_000_000)
    stream.eof()
    assert len(stream.collect(reply=False).stdout) == 20_000_000
    thread.join(10)


def test_peer_that_does_not_read_gives_no_credit(client: Client, server: socket.socket) -> None:
    stream, peer = tunnel(client, server)
    with peer:
        stream.send(bytes(200_000))
        client.ping()
        assert client.run("echo", "free").stdout == b"free\n"
        stream.cancel()
        client.ping()
        total = 0
        try:
            while data := peer.recv(65536):
                total += len(data)
        except ConnectionResetError:
            pass
        assert total <= 200_000


def test_reset(client: Client, server: socket.socket) -> None:
    stream, peer = tunnel(client, server)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    with pytest.raises(GuestError) as caught:
        stream.collect(reply=False)
    assert caught.value.code == "unavailable"


def test_ipv6_loopback_is_tried_too(client: Client) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        for fields in ({}, {"host": "::1"}, {"host": "localhost"}):
            stream = client.open("connect", port=port, **fields)
            peer, _ = listener.accept()
            peer.close()
            stream.eof()
            assert stream.collect().end == {}


def test_nothing_listens(client: Client, server: socket.socket) -> None:
    port = server.getsockname()[1]
    server.close()
    for fields in ({}, {"host": "127.0.0.1"}):
        with pytest.raises(GuestError) as caught:
            client.open("connect", port=port, **fields).expect(FrameType.REPLY)
        assert caught.value.code == "unavailable"


@pytest.mark.parametrize(
    "fields", [{"port": 0}, {"port": 65536}, {}, {"port": 80, "host": "example.org"}, {"port": 80, "host": ""}]
)
def test_wrong_fields(client: Client, fields: dict[str, object]) -> None:
    with pytest.raises(GuestError) as caught:
        client.open("connect", **fields).expect(FrameType.REPLY)
    assert caught.value.code == "invalid_argument"


def test_ports(client: Client, server: socket.socket) -> None:
    port = server.getsockname()[1]
    ports = client.call("ports")["ports"]
    assert port in ports and ports == sorted(set(ports))
    server.close()
    assert port not in client.call("ports")["ports"]
