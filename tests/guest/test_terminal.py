"""Terminals."""

from __future__ import annotations

import pytest

from aetherium.protocol.frames import FrameType
from tests.guest.client import Client, GuestError, Stream


def open_tty(client: Client, *argv: str, rows: int = 24, cols: int = 80, **fields: object) -> Stream:
    stream = client.open("exec", id="tty", argv=list(argv), tty={"rows": rows, "cols": cols}, stdin=True, **fields)
    stream.expect(FrameType.REPLY)
    return stream


def read_until(stream: Stream, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        frame = stream.next()
        assert frame.type is FrameType.DATA and frame.flags == 0, frame
        seen += frame.payload
    return seen


def test_process_sees_a_terminal_of_this_size(client: Client) -> None:
    result = client.run("sh", "-c", "tty >/dev/null && stty size; echo err >&2", tty={"rows": 33, "cols": 111})
    assert result.stdout == b"33 111\r\nerr\r\n"
    assert result.stderr == b"" and result.eofs == [0]
    assert result.end is not None and result.end["exit_code"] == 0


def test_resize(client: Client) -> None:
    stream = open_tty(client, "sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done")
    read_until(stream, b"ready")
    client.call("resize", id="tty", rows=50, cols=132)
    assert b"50 132" in stream.collect(reply=False).stdout
    with pytest.raises(GuestError) as caught:
        client.call("resize", id="tty", rows=50, cols=132)
    assert caught.value.code == "failed_precondition"


def test_resize_of_what_is_no_terminal(client: Client) -> None:
    client.open("exec", id="plain", argv=["sleep", "60"]).expect(FrameType.REPLY)
    with pytest.raises(GuestError) as caught:
        client.call("resize", id="plain", rows=50, cols=132)
    assert caught.value.code == "invalid_argument"


@pytest.mark.parametrize("typed", [b"line\n", b"unfinished", b""])
def test_eof_ends_the_input(client: Client, typed: bytes) -> None:
    stream = open_tty(client, "sh", "-c", "stty -echo; echo ready; cat; echo bye")
    read_until(stream, b"ready\r\n")
    if typed:
        stream.send(typed)
    stream.eof()
    result = stream.collect(reply=False)
    assert result.stdout == typed.replace(b"\n", b"\r\n") + b"bye\r\n"


def test_control_c_interrupts(client: Client) -> None:
    stream = open_tty(client, "sh", "-c", "echo ready; exec sleep 60")
    read_until(stream, b"ready")
    stream.send(b"\x03")
    end = stream.collect(reply=False).end
    assert end is not None and end["signal"] == 2


def test_much_output_and_its_last_byte(client: Client) -> None:
    result = client.run("sh", "-c", "stty -opost; seq 1 60000", tty={"rows": 24, "cols": 80})
    assert result.stdout == b"".join(b"%d\n" % i for i in range(1, 60001))


def test_grandchild_holds_the_terminal(client: Client) -> None:
    result = client.run("sh", "-c", "trap '' HUP; sleep 60 & echo said; exit 6", tty={"rows": 24, "cols": 80})
    assert result.stdout == b"said\r\n"
    assert result.end is not None and result.end["exit_code"] == 6
