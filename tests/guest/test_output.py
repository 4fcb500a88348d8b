"""Output: rings, offsets, credit, streams that come and go."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from aetherium.protocol.frames import GUEST_WINDOW, Frame, FrameType
from tests.guest.agent import Agent
from tests.guest.client import Client, GuestError, Stream

COUNTER = "i=0; while [ $i -lt {count} ]; do echo $i; i=$((i+1)); done"


def numbers(count: int) -> bytes:
    return b"".join(b"%d\n" % i for i in range(count))


def read_data(stream: Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        frame = stream.next()
        assert frame.type is FrameType.DATA
        data += frame.payload
    return data


def item(client: Client, name: str) -> dict[str, object]:
    return next(item for item in client.open("list").collect(reply=False).events if item["id"] == name)


def wait_until_exited(client: Client, name: str) -> dict[str, object]:
    while (found := item(client, name))["state"] != "exited":
        pass
    return found


def test_100_megabytes_to_a_slow_reader(agent: Agent, client: Client) -> None:
    size = 100_000_000
    stream = client.open("exec", id="big", argv=["head", "-c", str(size), "/dev/zero"])
    stream.expect(FrameType.REPLY)
    received = 0
    peak = 0
    while True:
        frame = stream.next()
        if frame.type is not FrameType.DATA:
            break
        received += len(frame.payload)
        # Credit in small pieces: the agent has to hold the process back all the time.
        stream.grant(len(frame.payload))
        if received % 64 == 0:
            peak = max(peak, agent.rss_kib())
    assert frame.type is FrameType.EOF
    end = stream.collect(reply=False).end
    assert received == size and end is not None and end["stdout_bytes"] == size
    assert peak < 4 * 1024, f"{peak} KiB"


def test_agent_waits_for_credit(client: Client) -> None:
    stream = client.open("exec", id="big", argv=["head", "-c", "5000000", "/dev/zero"])
    stream.expect(FrameType.REPLY)
    read_data(stream, GUEST_WINDOW)
    client.ping()
    assert not stream.inbox, "more than the window"
    stream.grant(10)
    assert len(read_data(stream, 10)) == 10
    client.ping()
    assert not stream.inbox
    stream.grant(10_000_000)
    result = stream.collect(reply=False)
    assert len(result.stdout) == 5_000_000 - GUEST_WINDOW - 10


def test_stream_without_credit_does_not_hold_others(agent: Agent, client: Client) -> None:
    stuck = client.open("exec", id="stuck", argv=["head", "-c", "50000000", "/dev/zero"])
    stuck.expect(FrameType.REPLY)
    read_data(stuck, GUEST_WINDOW)
    assert client.run("echo", "free").stdout == b"free\n"
    assert len(client.run("head", "-c", "3000000", "/dev/zero").stdout) == 3_000_000


def test_connection_that_does_not_read_does_not_hold_others(agent: Agent, client: Client) -> None:
    deaf = agent.connect()
    for i in range(8):
        deaf.open("exec", id=f"deaf-{i}", argv=["head", "-c", "50000000", "/dev/zero"])
    for _ in range(20):
        assert client.run("echo", "free").stdout == b"free\n"
    assert len(client.run("head", "-c", "3000000", "/dev/zero").stdout) == 3_000_000


def test_two_channels_share_fairly(client: Client) -> None:
    result = client.run("sh", "-c", "head -c 3000000 /dev/zero >&2 & head -c 3000000 /dev/zero; wait")
    assert len(result.stdout) == len(result.stderr) == 3_000_000


def test_attach_from_an_offset(client: Client) -> None:
    client.run("sh", "-c", "printf 0123456789; printf abcdef >&2; exit 7", id="p")
    result = client.open("attach", id="p", stdout_offset=4, stderr_offset=-1).collect()
    assert result.reply is not None and result.end is not None
    assert (result.reply["stdout_offset"], result.reply["stderr_offset"]) == (4, 6)
    assert (result.reply["state"], result.reply["existing"]) == ("exited", True)
    assert (result.stdout, result.stderr, result.end["exit_code"]) == (b"456789", b"", 7)
    whole = client.open("attach", id="p").collect()
    assert (whole.stdout, whole.stderr) == (b"0123456789", b"abcdef")
    with pytest.raises(GuestError) as caught:
        client.open("attach", id="p", stdout_offset=11).collect()
    assert caught.value.code == "invalid_argument"
    with pytest.raises(GuestError) as caught:
        client.open("attach", id="unknown").collect()
    assert caught.value.code == "not_found"


def test_overwritten_bytes_are_reported(client: Client) -> None:
    text = numbers(20_000)
    stream = client.open(
        "exec",
        id="p",
        argv=["sh", "-c", "read go; " + COUNTER.format(count=20_000)],
        ring_bytes=4096,
        stdin=True,
        background=True,
    )
    stream.expect(FrameType.REPLY)
    stream.send(b"go\n")
    stream.cancel()
    found = wait_until_exited(client, "p")
    assert (found["stdout_bytes"], found["stdout_start"]) == (len(text), len(text) - 4096)
    result = client.open("attach", id="p", stdout_offset=100).collect()
    assert result.reply is not None and result.reply["stdout_offset"] == len(text) - 4096
    assert result.stdout == text[-4096:]


def test_connection_dies_and_another_goes_on_without_losing_a_byte(agent: Agent, client: Client) -> None:
    text = numbers(300_000)
    first = agent.connect()
    stream = first.open("exec", id="p", argv=["sh", "-c", COUNTER.format(count=300_000)], ring_bytes=64 * 1024 * 1024)
    stream.expect(FrameType.REPLY)
    received = read_data(stream, 100_000)
    first.close()
    second = client.open("attach", id="p", stdout_offset=len(received))
    result = second.collect()
    assert result.reply is not None and result.reply["stdout_offset"] == len(received)
    assert received + result.stdout == text


def test_every_attached_stream_gets_everything(agent: Agent, client: Client) -> None:
    first = client.open("exec", id="p", argv=["sh", "-c", "read go; head -c 4000000 /dev/zero"], stdin=True)
    first.expect(FrameType.REPLY)
    others = [agent.connect().open("attach", id="p") for _ in range(3)]
    for other in others:
        other.expect(FrameType.REPLY)
    first.send(b"go\n")
    # All wait for each other within one ring: take turns in reading.
    streams = [first, *others]
    counts = [0] * len(streams)
    ended = [False] * len(streams)
    while not all(ended):
        for index, stream in enumerate(streams):
            if ended[index]:
                continue
            frame = stream.next()
            if frame.type is FrameType.DATA:
                counts[index] += len(frame.payload)
                stream.grant(len(frame.payload))
            ended[index] = frame.type is FrameType.END
    assert counts == [4_000_000] * 4


def test_slow_stream_holds_the_process_until_it_goes(client: Client) -> None:
    slow = client.open("exec", id="p", argv=["sh", "-c", "head -c 8000000 /dev/zero; echo done >&2"])
    slow.expect(FrameType.REPLY)
    read_data(slow, GUEST_WINDOW)
    assert item(client, "p")["state"] == "running"
    slow.cancel()
    assert wait_until_exited(client, "p")["stdout_bytes"] == 8_000_000


def test_cancel_in_the_middle_of_a_frame(client: Client) -> None:
    """The socket is full when the stream is cancelled: the frame on its way is completed all the same."""
    stream = client.open("exec", id="p", argv=["head", "-c", "50000000", "/dev/zero"])
    stream.grant(100_000_000)
    client.send(Frame(FrameType.PING, 0, b"mark"))
    stream.cancel()
    while not client.control:
        client.receive(10)
    client.control.clear()
    assert client.run("echo", "intact").stdout == b"intact\n"


def test_grandchild_holds_the_pipe(client: Client) -> None:
    result = client.run("sh", "-c", "sleep 60 & head -c 200000 /dev/zero; exit 4")
    assert result.end is not None
    assert len(result.stdout) == 200_000 and result.end["exit_code"] == 4
    assert result.end["duration_ns"] < 5_000_000_000


def test_grandchild_holds_the_pipe_and_the_reader_is_slow(client: Client) -> None:
    """What the process wrote before its end is delivered, even if that takes longer than the grandchild may delay."""
    command = "sleep 60 & head -c 1500000 /dev/zero"
    stream = client.open("exec", id="p", argv=["sh", "-c", command], ring_bytes=65536)
    stream.expect(FrameType.REPLY)
    first = len(read_data(stream, GUEST_WINDOW))
    stream.grant(2_000_000)
    result = stream.collect(reply=False)
    assert first + len(result.stdout) == 1_500_000


def test_background_process_and_its_later_end(client: Client) -> None:
    stream = client.open("exec", id="bg", argv=["sh", "-c", "read x; echo $x; exit 9"], stdin=True, background=True)
    stream.expect(FrameType.REPLY)
    stream.cancel()
    again = client.open("attach", id="bg", stdin=True)
    reply = again.expect(FrameType.REPLY)
    assert reply["state"] == "running"
    again.send(b"word\n")
    result = again.collect(reply=False)
    assert result.stdout == b"word\n" and result.end is not None and result.end["exit_code"] == 9


def test_input_sent_before_a_stream_goes_still_arrives(client: Client) -> None:
    stream = client.open("exec", id="p", argv=["sh", "-c", "kill -STOP $$; wc -c"], stdin=True)
    stream.expect(FrameType.REPLY)
    stream.send(bytes(200_000))
    stream.cancel()
    client.ping()
    last = client.open("attach", id="p", stdin=True)
    last.expect(FrameType.REPLY)
    last.eof()
    # The signal may come before the process stops itself.
    while item(client, "p")["state"] != "exited":
        with contextlib.suppress(GuestError):
            client.call("signal", id="p", signal=signal.SIGCONT)
    assert last.collect(reply=False).stdout.strip() == b"200000"


def test_finished_processes_are_kept_within_bounds(client: Client) -> None:
    for i in range(140):
        client.run("true", id=f"p{i}")
    kept = [found["id"] for found in client.open("list").collect(reply=False).events]
    assert kept == [f"p{i}" for i in range(12, 140)]
    # Rings go before the record of how it ended.
    for name in ("a", "b", "c"):
        client.run("head", "-c", "4000000", "/dev/zero", id=name, ring_bytes=64 * 1024 * 1024)
    starts = {found["id"]: found["stdout_start"] for found in client.open("list").collect(reply=False).events}
    assert starts["b"] == starts["c"] == 0
    assert starts["a"] >= 3_500_000
    assert client.open("attach", id="a").collect().end is not None


def test_output_of_a_process_nobody_listens_to_costs_one_ring(agent: Agent, client: Client) -> None:
    before = agent.rss_kib()
    stream = client.open("exec", id="p", argv=["head", "-c", "30000000", "/dev/zero"], ring_bytes=65536)
    stream.expect(FrameType.REPLY)
    stream.cancel()
    assert wait_until_exited(client, "p")["stdout_bytes"] == 30_000_000
    assert agent.rss_kib() - before < 1024


def test_short_command_takes_few_messages(agent: Agent, client: Client, tmp_path: Path) -> None:
    """REPLY alone, and everything else at once: a stream of datagram-like reads shows how it was written."""
    stream = client.open("exec", id="p", argv=["echo", "hi"])
    reads = 0
    while not any(frame.type is FrameType.END for frame in stream.inbox):
        client.receive(10)
        reads += 1
    assert reads <= 3
    kinds = [frame.type for frame in stream.inbox]
    assert kinds == [FrameType.REPLY, FrameType.DATA, FrameType.EOF, FrameType.EOF, FrameType.END]
