"""A small client for the guest agent over a raw socket: one frame at a time, every wait with a deadline."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aetherium.protocol.frames import GUEST_WINDOW, MAX_DATA, Decoder, Frame, FrameType, encode

DEADLINE_S = 10.0

Json = dict[str, Any]


class GuestError(Exception):
    """The agent answered a request with an ERROR frame."""

    def __init__(self, payload: Json) -> None:
        super().__init__(f"{payload['code']}: {payload['message']}")
        self.code: str = payload["code"]
        self.payload = payload


class Closed(Exception):
    """The agent ended the connection."""


def os_string(value: bytes | str) -> str:
    """Return the JSON string for bytes that may not be UTF-8."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "\0" + base64.b64encode(value).decode()


def os_bytes(value: str) -> bytes:
    """Return the bytes a JSON string stands for."""
    return base64.b64decode(value[1:], validate=True) if value.startswith("\0") else value.encode()


@dataclass
class Result:
    """What a streaming operation brought."""

    reply: Json | None = None
    end: Json | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    eofs: list[int] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)


class Stream:
    """One stream of a connection: sends, and takes its own frames out of what arrives."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number
        self.window = 256 * 1024
        self.inbox: deque[Frame] = deque()

    def next(self, deadline_s: float = DEADLINE_S) -> Frame:
        """Return the stream's next frame other than WINDOW, which is accounted for here."""
        while True:
            while not self.inbox:
                self.client.receive(deadline_s)
            frame = self.inbox.popleft()
            if frame.type is not FrameType.WINDOW:
                return frame

    def expect(self, kind: FrameType, deadline_s: float = DEADLINE_S) -> Json:
        """Return the payload of the next frame, which must be of this kind."""
        frame = self.next(deadline_s)
        if frame.type is FrameType.ERROR:
            raise GuestError(json.loads(frame.payload))
        assert frame.type is kind, f"{frame.type.name} instead of {kind.name}: {frame.payload[:200]!r}"
        payload: Json = json.loads(frame.payload)
        return payload

    def send(self, data: bytes) -> None:
        """Send DATA as far as credit allows, waiting for more."""
        for start in range(0, len(data), MAX_DATA):
            chunk = data[start : start + MAX_DATA]
            while self.window < len(chunk):
                self.client.receive(DEADLINE_S)
            self.window -= len(chunk)
            self.client.send(Frame(FrameType.DATA, self.number, chunk))

    def eof(self) -> None:
        self.client.send(Frame(FrameType.EOF, self.number))

    def cancel(self) -> None:
        self.client.send(Frame(FrameType.CANCEL, self.number))
        self.client.streams.pop(self.number, None)

    def grant(self, count: int) -> None:
        self.client.send(Frame(FrameType.WINDOW, self.number, struct.pack("<I", count)))

    def wait_held(self, count: int) -> None:
        """Wait until so many bytes of DATA and EVENT lie in the inbox; then no more may come for now."""
        while self.held() < count:
            self.client.receive(DEADLINE_S)
        self.client.ping()
        assert self.held() == count

    def held(self) -> int:
        return sum(len(frame.payload) for frame in self.inbox if frame.type in (FrameType.DATA, FrameType.EVENT))

    def collect(self, *, reply: bool = True, grant: bool = True, deadline_s: float = DEADLINE_S) -> Result:
        """Read until END. Raises GuestError when an ERROR ends the stream."""
        result = Result()
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        owed = 0
        if reply:
            result.reply = self.expect(FrameType.REPLY, deadline_s)
        while True:
            frame = self.next(deadline_s)
            if frame.type is FrameType.DATA:
                parts[frame.flags].append(frame.payload)
                owed += len(frame.payload)
            elif frame.type is FrameType.EOF:
                result.eofs.append(frame.flags)
            elif frame.type is FrameType.EVENT:
                result.events.append(json.loads(frame.payload))
                owed += len(frame.payload)
            elif frame.type is FrameType.END:
                result.end = json.loads(frame.payload)
                result.stdout, result.stderr = b"".join(parts[0]), b"".join(parts[1])
                return result
            elif frame.type is FrameType.ERROR:
                raise GuestError(json.loads(frame.payload))
            else:
                raise AssertionError(f"unexpected {frame.type.name}")
            if grant and owed >= GUEST_WINDOW // 4:
                self.grant(owed)
                owed = 0


class Client:
    """A connection to the agent that has exchanged HELLO."""

    def __init__(self, where: Path | socket.socket, *, greet: bool = True) -> None:
        self.socket = where if isinstance(where, socket.socket) else socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.decoder = Decoder()
        self.streams: dict[int, Stream] = {}
        self.control: deque[Frame] = deque()
        self.last = 0
        self.hello: Json = {}
        try:
            if isinstance(where, Path):
                self.socket.connect(str(where))
            if greet:
                self._greet()
        except BaseException:
            self.socket.close()
            raise

    def _greet(self) -> None:
        self.send(Frame(FrameType.HELLO, 0, b'{"version":1,"client":"test"}'))
        while not self.control:
            self.receive(DEADLINE_S)
        frame = self.control.popleft()
        assert frame.type is FrameType.HELLO
        self.hello = json.loads(frame.payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, frame: Frame) -> None:
        self.socket.sendall(encode(frame))

    def receive(self, deadline_s: float) -> None:
        """Take in what has arrived; wait for something if nothing has."""
        self.socket.settimeout(deadline_s)
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionResetError as error:
            raise Closed from error
        if not data:
            raise Closed
        for frame in self.decoder.feed(data):
            if frame.stream == 0:
                self.control.append(frame)
                continue
            stream = self.streams.get(frame.stream)
            assert stream is not None or frame.stream <= self.last, f"frame for stream {frame.stream}, never opened"
            if stream is None:
                continue
            if frame.type is FrameType.WINDOW:
                stream.window += struct.unpack("<I", frame.payload)[0]
            stream.inbox.append(frame)

    def open(self, op: str, **fields: Any) -> Stream:
        """Open a stream with a request."""
        self.last += 1
        stream = Stream(self, self.last)
        self.streams[self.last] = stream
        self.send(Frame(FrameType.REQUEST, self.last, json.dumps({"op": op, **fields}).encode()))
        return stream

    def call(self, op: str, **fields: Any) -> Json:
        """Do a unary operation."""
        stream = self.open(op, **fields)
        reply = stream.expect(FrameType.REPLY)
        del self.streams[stream.number]
        return reply

    def run(self, *argv: str | bytes, id: str | None = None, deadline_s: float = DEADLINE_S, **fields: Any) -> Result:
        """Run a command to its end."""
        stream = self.open(
            "exec", id=id or f"run-{self.last + 1}-{time.monotonic_ns()}", argv=[os_string(a) for a in argv], **fields
        )
        return stream.collect(deadline_s=deadline_s)

    def ping(self, payload: bytes = b"ping") -> None:
        """Return once the agent has handled everything sent before."""
        self.send(Frame(FrameType.PING, 0, payload))
        while not self.control:
            self.receive(DEADLINE_S)
        frame = self.control.popleft()
        assert frame.type is FrameType.PONG and frame.payload == payload

    def wait_closed(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the agent ends the connection."""
        while True:
            try:
                self.receive(deadline_s)
            except Closed:
                return
