"""The host's end of a guest connection: one byte stream, many streams in it.

Everything received is hostile. Any breach of the protocol ends this connection, fails its streams with one clear error
and touches nothing else. What a guest can make the host hold is bounded: one frame in the decoder, one window per open
stream, and a budget for what was under way when the host left a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass

from aetherium.core.guest.stream import Stream
from aetherium.model.errors import AetheriumError, GuestUnreachable, InvalidArgument, ResourceExhausted
from aetherium.protocol.frames import (
    GUEST_WINDOW,
    MAX_REQUEST,
    VERSION,
    Decoder,
    Frame,
    FrameType,
    ProtocolError,
    encode,
)
from aetherium.protocol.payload import JsonValue, Payload, encode_object

_READ_BUFFER = 256 * 1024
_MAX_STREAMS = 1000  # the guest's limit is 1024; leave it some
_LAST_STREAM = 2**32 - 1
_MAX_QUEUED = 2 * MAX_REQUEST  # bytes written that the guest has not read
_MAX_PINGS = 64
_DISTRUST = "the VM's other state is untouched; stop it if you do not trust what runs in it"


@dataclass(frozen=True, slots=True)
class Hello:
    """What a guest says of itself. Claims, not facts."""

    agent: str
    arch: str
    pid: int
    uid: int
    boot: str
    time_ns: int
    workdir: str
    features: frozenset[str]


class GuestConnection(asyncio.BufferedProtocol):
    """Speaks to one agent over one transport."""

    def __init__(self, vm_id: str, *, client: str = "aetherium", on_lost: Callable[[], None] | None = None) -> None:
        self.vm_id = vm_id
        self.hello: Hello | None = None
        self._client = client
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_READ_BUFFER))
        self._decoder = Decoder()
        self._streams: dict[int, Stream] = {}
        self._next_stream = 1
        self._stale_budget = 0
        self._failure: AetheriumError | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._next_ping = 0
        self._writable: asyncio.Future[None] | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the guest."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.send(Frame(FrameType.HELLO, 0, encode_object({"version": VERSION, "client": self._client})))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        try:
            for frame in self._decoder.feed(self._buffer[:nbytes]):
                self._on_frame(frame)
        except ProtocolError as error:
            self._break(f"the agent in VM {self.vm_id} broke the protocol: {error}")

    def eof_received(self) -> None:
        """End at once: waiting until what is queued was written could take for ever."""
        self._break(f"the agent in VM {self.vm_id} closed the connection", remedy="")

    def pause_writing(self) -> None:
        """Hold back ``drain``."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let ``drain`` go on."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def connection_lost(self, error: Exception | None) -> None:
        """End every stream."""
        if self._failure is None:
            self._failure = GuestUnreachable(f"the connection to the agent in VM {self.vm_id} ended")
        for stream in self._streams.values():
            stream.fail(self._failure)
        self._streams.clear()
        for waiter in (self._ready, *self._pings.values()):
            if not waiter.done():
                waiter.set_exception(copy(self._failure))
                waiter.exception()  # nobody may be waiting
        self._pings.clear()
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)
        if self._on_lost is not None:
            self._on_lost()

    # the guest's frames

    def _on_frame(self, frame: Frame) -> None:
        if frame.stream == 0:
            self._on_connection_frame(frame)
            return
        if self.hello is None:
            raise ProtocolError("a stream before HELLO")
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._on_stale(frame)
            return
        stream.on_frame(frame)
        if not stream.is_open:
            del self._streams[frame.stream]

    def _on_stale(self, frame: Frame) -> None:
        if frame.stream >= self._next_stream:
            raise ProtocolError(f"frame for stream {frame.stream}, which was never opened")
        self._stale_budget -= max(1, len(frame.payload))
        if self._stale_budget < 0:
            raise ProtocolError("endless frames for streams that are over")

    def _on_connection_frame(self, frame: Frame) -> None:
        if frame.type is FrameType.HELLO:
            self._on_hello(Payload(frame.payload))
        elif self.hello is None:
            raise ProtocolError(f"{frame.type.name} before HELLO")
        elif frame.type is FrameType.PONG:
            waiter = self._pings.pop(frame.payload, None)
            if waiter is None:
                raise ProtocolError("PONG without PING")
            if not waiter.done():
                waiter.set_result(None)
        elif self._is_choked():
            raise ProtocolError("endless PINGs")
        else:
            self.send(Frame(FrameType.PONG, 0, frame.payload))

    def _on_hello(self, payload: Payload) -> None:
        if self.hello is not None:
            raise ProtocolError("second HELLO")
        version = payload.integer("version")
        if version != VERSION:
            raise ProtocolError(f"the agent speaks version {version} of the protocol, the engine version {VERSION}")
        self.hello = Hello(
            agent=payload.text("agent", most=64),
            arch=payload.text("arch", most=64),
            pid=payload.integer("pid"),
            uid=payload.integer("uid"),
            boot=payload.text("boot", most=64),
            time_ns=payload.integer("time_ns", default=0),
            workdir=payload.os_string("workdir", default="/"),
            features=frozenset(payload.texts("features")),
        )
        if not self._ready.done():
            self._ready.set_result(None)

    def _break(self, reason: str, *, remedy: str = _DISTRUST) -> None:
        if self._failure is None:
            self._failure = GuestUnreachable(reason, remedy=remedy)
        if self._transport is not None:
            self._transport.abort()

    # the engine's side

    @property
    def is_open(self) -> bool:
        """Whether streams can be opened."""
        return self._failure is None and self._transport is not None and not self._transport.is_closing()

    async def wait_ready(self) -> Hello:
        """Return the guest's HELLO once it is there. Raises GuestUnreachable."""
        await asyncio.shield(self._ready)
        assert self.hello is not None
        return self.hello

    def open(self, op: str, fields: Mapping[str, JsonValue], *, unary: bool = False) -> Stream:
        """Open a stream with a request. Raises GuestUnreachable, InvalidArgument, ResourceExhausted."""
        self._check_open()
        if self._is_choked():
            raise GuestUnreachable(f"the agent in VM {self.vm_id} does not take what it is sent")
        if len(self._streams) >= _MAX_STREAMS:
            raise ResourceExhausted(
                f"VM {self.vm_id} has {_MAX_STREAMS} operations under way on one connection",
                remedy="wait for some to end, or run the commands in the background",
            )
        payload = encode_object({"op": op, **fields})
        if len(payload) > MAX_REQUEST:
            raise InvalidArgument(
                f"the request has {len(payload)} bytes; at most {MAX_REQUEST} can be sent",
                remedy="pass large data on stdin or in a file",
            )
        number = self._next_stream
        if number > _LAST_STREAM:
            raise ResourceExhausted(f"the connection to VM {self.vm_id} has used up its streams")
        self._next_stream += 1
        stream = Stream(self, number, unary=unary)
        self._streams[number] = stream
        self.send(Frame(FrameType.REQUEST, number, payload))
        return stream

    async def call(self, op: str, fields: Mapping[str, JsonValue] | None = None) -> Payload:
        """Perform a unary operation and return its REPLY."""
        with self.distrust():
            await self.drain()
            stream = self.open(op, fields or {}, unary=True)
            try:
                frame = await stream.receive()
                if frame.type is not FrameType.REPLY:
                    raise ProtocolError(f"{frame.type.name} instead of REPLY")
                return Payload(frame.payload)
            finally:
                stream.cancel()

    @contextmanager
    def distrust(self) -> Iterator[None]:
        """Turn a breach of the protocol that a reader of a stream finds into the end of this connection."""
        try:
            yield
        except ProtocolError as error:
            self._break(f"the agent in VM {self.vm_id} broke the protocol: {error}")
            assert self._failure is not None
            raise copy(self._failure) from error

    async def ping(self) -> None:
        """Return when the guest has answered a PING."""
        self._check_open()
        if len(self._pings) >= _MAX_PINGS:
            raise GuestUnreachable(f"the agent in VM {self.vm_id} left {_MAX_PINGS} PINGs unanswered")
        # A caller that gives up leaves its entry: the answer may still come, and is then no breach.
        self._next_ping += 1
        token = self._next_ping.to_bytes(8, "little")
        waiter = self._pings[token] = asyncio.get_running_loop().create_future()
        self.send(Frame(FrameType.PING, 0, token))
        await waiter

    def send(self, frame: Frame) -> None:
        """Queue a frame; the caller of large ones waits in ``drain`` first."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(frame))

    async def drain(self) -> None:
        """Return when the transport takes more."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def abandon(self, stream: Stream) -> None:
        """Tell the guest that nobody listens to a stream any more."""
        self._streams.pop(stream.number, None)
        self._stale_budget = min(self._stale_budget + stream.may_arrive, 64 * GUEST_WINDOW)
        self.send(Frame(FrameType.CANCEL, stream.number))

    async def close(self) -> None:
        """Close the connection; its streams fail. Repeatable."""
        if self._failure is None:
            self._failure = GuestUnreachable(f"the connection to VM {self.vm_id} was closed by the engine")
        if self._transport is None:
            return
        # What is queued (a last CANCEL or signal) goes out if the guest takes it at once; nobody waits for it.
        try:
            if self._transport.get_write_buffer_size():
                self._transport.close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.shield(self._closed)
        finally:
            self._transport.abort()
        await asyncio.shield(self._closed)

    def _check_open(self) -> None:
        if self._failure is not None:
            raise copy(self._failure)  # each raise has a traceback of its own
        if not self.is_open:
            raise GuestUnreachable(f"the connection to the agent in VM {self.vm_id} is closed")

    def _is_choked(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > _MAX_QUEUED
