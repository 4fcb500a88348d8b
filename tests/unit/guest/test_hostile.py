"""Whatever a guest sends or fails to send ends its own connection at most, with a clear message and bounded memory."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from aetherium.core.guest.client import list_execs, listening_ports, metrics
from aetherium.model.errors import AetheriumError, Conflict, GuestUnreachable, NotFound, Unavailable
from aetherium.protocol.frames import (
    GUEST_WINDOW,
    HEADER,
    HOST_WINDOW,
    MAX_CONTROL,
    MAX_DATA,
    Frame,
    FrameType,
    encode,
)

from .scripted import DEADLINE_S, ScriptedGuest, data, end, eof, error, event, hello, reply, table, window

pytestmark = pytest.mark.usefixtures("bystander")


async def failure(guest: ScriptedGuest, wait: Awaitable[object]) -> GuestUnreachable:
    """Return the error that ended the connection while something was waited for."""
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(GuestUnreachable) as caught:
            await wait
    assert not guest.connection.is_open
    assert "vm-1" in caught.value.message
    return caught.value


BEFORE_HELLO: list[tuple[str, bytes, str]] = [
    ("a stream's frame", reply(), "a stream before HELLO"),
    ("PONG", encode(Frame(FrameType.PONG, 0, b"")), "PONG before HELLO"),
    ("PING", encode(Frame(FrameType.PING, 0, b"")), "PING before HELLO"),
    ("version 2", hello(version=2), "speaks version 2 of the protocol, the engine version 1"),
    ("no version", hello(version=None), "'version' is not an integer"),
    ("version true", hello(version=True), "'version' is not an integer"),
    ("agent is a number", hello(agent=1), "'agent' is not a string"),
    ("endless agent", hello(agent="x" * 65), "at most 64 characters"),
    ("negative pid", hello(pid=-1), "'pid' is not an integer"),
    ("features no list", hello(features="x"), "'features' is not a list"),
    ("lone surrogate", hello(arch="\ud800"), "not Unicode text"),
    ("a workdir with NUL", hello(workdir="a\0b"), "NUL byte"),
    ("a terminal's greeting", b"login: \r\nwelcome", "broke the protocol"),
    ("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\n\r\n", "broke the protocol"),
    ("HELLO not JSON", encode(Frame(FrameType.HELLO, 0, b"\xff\xff")), "not JSON"),
    ("HELLO a list", encode(Frame(FrameType.HELLO, 0, b"[]")), "not a JSON object"),
    ("HELLO deeply nested", encode(Frame(FrameType.HELLO, 0, b"[" * MAX_CONTROL)), "not JSON"),
]


@pytest.fixture
async def mute() -> AsyncIterator[ScriptedGuest]:
    """A guest that has not said HELLO."""
    guest = await ScriptedGuest.connect(greet=False)
    yield guest
    await guest.close()


@pytest.mark.parametrize(("sent", "message"), **table(BEFORE_HELLO))
async def test_a_breach_instead_of_hello(mute: ScriptedGuest, sent: bytes, message: str) -> None:
    await mute.send(sent)
    caught = await failure(mute, mute.connection.wait_ready())
    assert message in caught.message


ON_A_STREAM: list[tuple[str, bytes, str]] = [
    ("second HELLO", hello(), "second HELLO"),
    ("oversize frame", HEADER.pack(MAX_DATA + 1, 1, FrameType.DATA, 0, 0), "65537 bytes"),
    ("oversize reply", HEADER.pack(2**31, 1, FrameType.REPLY, 0, 0), "2147483648 bytes"),
    ("unknown type", HEADER.pack(0, 1, 99, 0, 0), "type 99"),
    ("a request", HEADER.pack(2, 1, FrameType.REQUEST, 0, 0) + b"{}", "not one a guest may send"),
    ("a cancel", HEADER.pack(0, 1, FrameType.CANCEL, 0, 0), "not one a guest may send"),
    ("a stream never opened", reply(stream=2), "never opened"),
    ("a stream far away", data(b"x", stream=2**32 - 1), "never opened"),
    ("DATA before REPLY", data(b"x"), "DATA before REPLY"),
    ("EOF before REPLY", eof(), "EOF before REPLY"),
    ("second REPLY", reply() + reply(), "second REPLY"),
    ("DATA after EOF", reply() + eof() + data(b"x"), "DATA after EOF"),
    ("second EOF", reply() + eof(channel=1) + eof(channel=1), "second EOF"),
    ("frames after END", end() + reply(), "streams that are over"),
    ("frames after ERROR", error("not_found") + data(b"x"), "streams that are over"),
    ("more than the window", reply() + data(bytes(MAX_DATA)) * 17, "more than its window"),
    ("more EVENTs than the window", event(x="y" * 60_000) * 18, "more than its window"),
    ("tiny EVENTs", encode(Frame(FrameType.EVENT, 1, b"{}")) * 70_000, "frames in one window"),
    ("WINDOW of nothing", window(0), "credit it was not given"),
    ("WINDOW unasked", window(1), "credit it was not given"),
    ("WINDOW overflow", window(2**32 - 1), "credit it was not given"),
    ("PONG flood", encode(Frame(FrameType.PONG, 0, b"x")) * 10_000, "PONG without PING"),
    ("the end of the stream", b"", "closed the connection"),
    ("half a header", b"\1\0\0", "closed the connection"),
    ("half a frame", reply(x="y" * 100)[:50], "closed the connection"),
]


@pytest.mark.parametrize(("sent", "message"), **table(ON_A_STREAM))
async def test_a_breach_on_a_stream(guest: ScriptedGuest, sent: bytes, message: str) -> None:
    stream = guest.connection.open("exec", {})
    assert (await guest.request())[0] == 1

    async def drain() -> None:
        while True:
            await stream.receive()

    sending = asyncio.create_task(guest.send(sent))
    if message == "closed the connection":
        await sending
        guest.sock.shutdown(socket.SHUT_WR)

    async def closed() -> None:
        while guest.connection.is_open:
            await asyncio.sleep(0)
        try:
            await drain()
        except (NotFound, Conflict):
            guest.connection.open("exec", {})

    caught = await failure(guest, closed())
    await sending
    assert message in caught.message


async def call_metrics(guest: ScriptedGuest) -> object:
    return await metrics(guest.connection)


async def call_ports(guest: ScriptedGuest) -> object:
    return await listening_ports(guest.connection)


async def call_list(guest: ScriptedGuest) -> object:
    return await list_execs(guest.connection)


ANSWERS: list[tuple[str, Callable[[ScriptedGuest], Awaitable[object]], bytes, str]] = [
    ("not UTF-8", call_metrics, encode(Frame(FrameType.REPLY, 1, b'{"a":"\xff"}')), "not JSON"),
    ("UTF-16", call_metrics, encode(Frame(FrameType.REPLY, 1, "{}".encode("utf-16"))), "not JSON"),
    ("not JSON", call_metrics, encode(Frame(FrameType.REPLY, 1, b"{]")), "not JSON"),
    ("brackets", call_metrics, encode(Frame(FrameType.REPLY, 1, b"[" * MAX_CONTROL)), "not JSON"),
    ("nested objects", call_metrics, encode(Frame(FrameType.REPLY, 1, b'{"":' * 16000)), "not JSON"),
    ("endless digits", call_metrics, encode(Frame(FrameType.REPLY, 1, b'{"a":' + b"9" * 60000 + b"}")), "not JSON"),
    ("a list", call_metrics, encode(Frame(FrameType.REPLY, 1, b"[]")), "not a JSON object"),
    ("a missing field", call_metrics, reply(), "'processes' is not an integer"),
    ("EVENT for REPLY", call_metrics, event(), "EVENT instead of REPLY"),
    ("END for REPLY", call_metrics, end(), "END instead of REPLY"),
    ("port 0", call_ports, reply(ports=[0]), "from 1 to 65535"),
    ("port true", call_ports, reply(ports=[True]), "not int"),
    ("DATA in a list", call_list, reply() + data(b"x"), "DATA in the answer to list"),
    ("an unknown state", call_list, event(state="zombie"), "unknown state"),
    ("ERROR without a code", call_metrics, encode(Frame(FrameType.ERROR, 1, b"{}")), "'code' is not a string"),
    ("ERROR with an endless code", call_metrics, error("x" * 65), "'code' is not a string"),
]


@pytest.mark.parametrize(("ask", "answer", "message"), **table(ANSWERS))
async def test_a_breach_in_an_answer(
    guest: ScriptedGuest, ask: Callable[[ScriptedGuest], Awaitable[object]], answer: bytes, message: str
) -> None:
    asked = asyncio.ensure_future(ask(guest))
    await guest.request()
    await guest.send(answer)
    caught = await failure(guest, asked)
    assert message in caught.message


async def test_an_endless_list_is_cut(guest: ScriptedGuest) -> None:
    asked = asyncio.create_task(list_execs(guest.connection))
    await guest.request()
    item: dict[str, Any] = {"id": "a", "argv": [], "state": "running", "pid": 1, "stdout_bytes": 0, "stderr_bytes": 0}
    sending = asyncio.create_task(guest.send(event(**item) * 5000))
    assert "endless list" in (await failure(guest, asked)).message
    await sending


async def test_an_unknown_error_code_is_unavailable(guest: ScriptedGuest) -> None:
    asked = asyncio.create_task(metrics(guest.connection))
    await guest.request()
    await guest.send(error("your_disk_is_on_fire", "x" * 8000))
    with pytest.raises(Unavailable) as caught:
        await asked
    assert len(caught.value.message) == 4096
    assert guest.connection.is_open


async def test_what_was_under_way_for_a_cancelled_stream_is_no_breach(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    await guest.request()
    await guest.send(reply())
    await stream.receive()
    stream.cancel()
    # A whole window, much of it in the smallest possible frames, and everything else the protocol allows.
    await guest.send(data(b"x") * MAX_DATA + data(bytes(MAX_DATA)) * 15)
    await guest.send(eof() + eof(channel=1) + error("internal", "y" * 60_000))
    await alive(guest)


async def test_endless_frames_for_a_cancelled_stream(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    stream.cancel()
    sending = asyncio.create_task(guest.send(data(bytes(MAX_DATA)) * 60))

    async def closed() -> None:
        while guest.connection.is_open:
            await asyncio.sleep(0)
        guest.connection.open("exec", {})

    assert "streams that are over" in (await failure(guest, closed())).message
    await sending


async def test_output_that_nobody_reads_is_bounded(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    await guest.request()
    tracemalloc.start()
    try:
        # Byte by byte on two channels: the most expensive way to fill a window.
        await guest.send(reply() + (data(b"o") + data(b"e", channel=1)) * (GUEST_WINDOW // 64))
        await guest.send(encode(Frame(FrameType.PING, 0, b"all read")))
        assert (await guest.until(FrameType.PONG)).payload == b"all read"
        current = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert current < GUEST_WINDOW // 2
    assert (await stream.receive()).type is FrameType.REPLY
    total = 0
    while total < GUEST_WINDOW // 32:
        total += len((await stream.receive()).payload)
    assert total == GUEST_WINDOW // 32
    stream.cancel()


async def test_a_flood_of_pings_is_answered_only_while_the_answers_are_read(guest: ScriptedGuest) -> None:
    pings = encode(Frame(FrameType.PING, 0, b"p" * 64)) * 1000

    async def flood() -> None:
        while guest.connection.is_open:
            await guest.send(pings)
        guest.connection.open("exec", {})

    assert "endless PINGs" in (await failure(guest, flood())).message


async def test_a_guest_that_never_reads_makes_senders_wait(guest: ScriptedGuest) -> None:
    streams = [guest.connection.open("write", {}) for _ in range(20)]
    sending = [asyncio.create_task(stream.send(bytes(1 << 20))) for stream in streams]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.wait(sending)
    assert guest.connection._transport is not None
    assert guest.connection._transport.get_write_buffer_size() < 20 * MAX_DATA + (1 << 20)
    for task in sending:
        task.cancel()
    await asyncio.wait(sending)


async def test_requests_to_a_guest_that_never_reads_are_bounded(guest: ScriptedGuest) -> None:
    def ask() -> None:
        while True:
            guest.connection.open("exec", {"argv": ["x" * (1 << 20)]}).cancel()

    with pytest.raises(GuestUnreachable, match="does not take"):
        ask()
    assert guest.connection._transport is not None
    assert guest.connection._transport.get_write_buffer_size() < 8 << 20


async def test_a_guest_that_says_nothing_leaves_timeouts_to_work(mute: ScriptedGuest) -> None:
    for wait in (mute.connection.wait_ready, lambda: mute.connection.call("metrics"), mute.connection.ping):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await wait()
    assert not mute.connection._streams


async def test_unanswered_pings_are_bounded_and_late_answers_no_breach(guest: ScriptedGuest) -> None:
    pings = [asyncio.create_task(guest.connection.ping()) for _ in range(64)]
    tokens = [(await guest.receive()).payload for _ in pings]
    with pytest.raises(GuestUnreachable, match="unanswered"):
        await guest.connection.ping()
    for ping in pings:
        ping.cancel()
    await asyncio.wait(pings)
    for token in tokens:
        await guest.send(encode(Frame(FrameType.PONG, 0, token)))
    await alive(guest)


async def test_pings_are_told_apart(guest: ScriptedGuest) -> None:
    first = asyncio.create_task(guest.connection.ping())
    a = await guest.receive()
    second = asyncio.create_task(guest.connection.ping())
    b = await guest.receive()
    await guest.send(encode(Frame(FrameType.PONG, 0, a.payload)))
    await first
    third = asyncio.create_task(guest.connection.ping())
    c = await guest.receive()
    assert len({a.payload, b.payload, c.payload}) == 3
    await guest.send(encode(Frame(FrameType.PONG, 0, b.payload)))
    await second
    await guest.send(encode(Frame(FrameType.PONG, 0, c.payload)))
    await third


@pytest.mark.parametrize("last", [end(), error("internal")])
async def test_a_sender_without_credit_wakes_when_the_guest_ends_the_stream(guest: ScriptedGuest, last: bytes) -> None:
    stream = guest.connection.open("exec", {})
    sending = asyncio.create_task(stream.send(bytes(2 * HOST_WINDOW)))
    received = 0
    while received < HOST_WINDOW:
        received += len((await guest.until(FrameType.DATA)).payload)
    assert not sending.done()
    await guest.send(last)
    async with asyncio.timeout(DEADLINE_S):
        await sending
    stream.cancel()


async def test_a_receiver_wakes_when_its_stream_is_cancelled(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    receiving = asyncio.create_task(stream.receive())
    await guest.request()
    stream.cancel()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(Conflict):
            await receiving
    await alive(guest)


async def test_reading_on_after_an_error_is_no_breach(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    await guest.request()
    await guest.send(error("not_found", "no such command"))
    for _ in range(2):
        with guest.connection.distrust(), pytest.raises(NotFound, match="no such command"):
            await stream.receive()
    await alive(guest)


async def test_only_one_eof_is_sent(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("exec", {})
    stream.send_eof()
    stream.send_eof()
    with pytest.raises(Conflict):
        await stream.send(b"x")
    stream.cancel()
    kinds = [(await guest.receive()).type for _ in range(3)]
    assert kinds == [FrameType.REQUEST, FrameType.EOF, FrameType.CANCEL]


async def test_each_error_has_a_traceback_of_its_own(guest: ScriptedGuest) -> None:
    await guest.connection.close()
    caught: list[AetheriumError] = []
    for _ in range(2):
        with pytest.raises(GuestUnreachable) as info:
            guest.connection.open("exec", {})
        caught.append(info.value)
    assert caught[0] is not caught[1]
    assert caught[0].remedy == caught[1].remedy


async def test_a_half_closed_guest_that_does_not_read_ends_at_once(guest: ScriptedGuest) -> None:
    stream = guest.connection.open("write", {})
    guest.connection.open("exec", {"argv": ["x" * (2_000_000)]})  # more than the socket takes
    guest.sock.shutdown(socket.SHUT_WR)
    await failure(guest, stream.receive())


async def test_closing_does_not_wait_for_a_guest_that_never_reads(guest: ScriptedGuest) -> None:
    guest.connection.open("exec", {"argv": ["x" * (2_000_000)]})
    async with asyncio.timeout(DEADLINE_S):
        await guest.connection.close()
    assert not guest.connection.is_open


async def alive(guest: ScriptedGuest) -> None:
    """Check that the connection still works, and that everything sent before was taken."""
    await guest.send(encode(Frame(FrameType.PING, 0, b"alive?")))
    assert (await guest.until(FrameType.PONG)).payload == b"alive?"
