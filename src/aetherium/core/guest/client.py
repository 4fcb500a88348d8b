"""What one can ask a VM's agent, apart from files."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.stream import Stream
from aetherium.model.command import Exec, ExecState
from aetherium.protocol.frames import Frame, FrameType, ProtocolError
from aetherium.protocol.payload import JsonValue, Payload


@dataclass(frozen=True, slots=True)
class GuestMetrics:
    """What the agent can see of its own machine."""

    processes: int
    cpu_s: float
    memory_bytes: int
    disk_free_bytes: int
    uptime_s: float
    execs_running: int
    connections: int


async def events(connection: GuestConnection, op: str, fields: dict[str, JsonValue]) -> AsyncIterator[Payload]:
    """Yield the EVENTs of a streaming operation until its END."""
    with connection.distrust():
        stream = connection.open(op, fields)
        try:
            while (frame := await stream.receive()).type is not FrameType.END:
                if frame.type is FrameType.EVENT:
                    yield Payload(frame.payload)
                elif frame.type is not FrameType.REPLY:
                    raise ProtocolError(f"{frame.type.name} in the answer to {op}")
        finally:
            stream.cancel()


@asynccontextmanager
async def replied(connection: GuestConnection, op: str, fields: dict[str, JsonValue]) -> AsyncIterator[Stream]:
    """Open a streaming operation, wait for its REPLY, and leave it in the end."""
    with connection.distrust():
        stream = connection.open(op, fields)
        try:
            await expect(stream, FrameType.REPLY)
            yield stream
        finally:
            stream.cancel()


async def expect(stream: Stream, kind: FrameType) -> Frame:
    """Receive a frame that must be of ``kind``. Raises ProtocolError."""
    frame = await stream.receive()
    if frame.type is not kind:
        raise ProtocolError(f"{frame.type.name} instead of {kind.name}")
    return frame


async def list_execs(connection: GuestConnection) -> list[Exec]:
    """Return the commands the agent knows, oldest first."""
    found = []
    async for item in events(connection, "list", {}):
        with connection.distrust():
            found.append(_exec(connection.vm_id, item))
            if len(found) > 4096:
                raise ProtocolError("endless list of commands")
    return found


async def signal_exec(connection: GuestConnection, exec_id: str, number: int) -> None:
    """Send a signal to a command's process group."""
    await connection.call("signal", {"id": exec_id, "signal": number})


async def metrics(connection: GuestConnection) -> GuestMetrics:
    """Return what the machine's processes use."""
    reply = await connection.call("metrics")
    with connection.distrust():
        return GuestMetrics(
            processes=reply.integer("processes"),
            cpu_s=reply.integer("cpu_ns") / 1e9,
            memory_bytes=reply.integer("memory_bytes"),
            disk_free_bytes=reply.integer("disk_free_bytes", default=0),
            uptime_s=reply.integer("uptime_ns") / 1e9,
            execs_running=reply.integer("execs_running"),
            connections=reply.integer("connections"),
        )


async def listening_ports(connection: GuestConnection) -> tuple[int, ...]:
    """Return the TCP ports that something in the VM listens on."""
    reply = await connection.call("ports")
    with connection.distrust():
        return reply.integers("ports", least=1, most=65535)


async def configure(connection: GuestConnection, *, ttl_s: float | None = None, linger_s: float | None = None) -> None:
    """Set the time to live from now and how long to live without a host; 0 clears, None leaves."""
    fields: dict[str, JsonValue] = {
        "ttl_ms": None if ttl_s is None else round(ttl_s * 1000),
        "linger_ms": None if linger_s is None else round(linger_s * 1000),
    }
    await connection.call("configure", fields)


async def thaw(connection: GuestConnection, *, time_ns: int, entropy: bytes, hostname: str | None = None) -> None:
    """Tell a machine that continues from a snapshot the time, fresh entropy and its name."""
    await connection.call(
        "thaw", {"time_ns": time_ns, "entropy": base64.b64encode(entropy).decode("ascii"), "hostname": hostname}
    )


async def shutdown(connection: GuestConnection, *, grace_s: float) -> None:
    """Ask every process to end, wait the grace, kill the rest; the agent ends itself. Returns when it is done."""
    async with replied(connection, "shutdown", {"grace_ms": round(grace_s * 1000)}) as stream:
        await expect(stream, FrameType.END)


def _exec(vm_id: str, item: Payload) -> Exec:
    state = item.text("state", most=16)
    if state not in (ExecState.RUNNING, ExecState.EXITED):
        raise ProtocolError("unknown state of a command")
    ended = state == ExecState.EXITED
    return Exec(
        id=item.text("id", most=64),
        vm_id=vm_id,
        argv=item.os_strings("argv"),
        state=ExecState(state),
        pid=item.integer("pid"),
        background=item.boolean("background"),
        exit_code=item.integer("exit_code", most=255) if ended else None,
        signal=(item.integer("signal", default=0, most=64) or None) if ended else None,
        timed_out=item.boolean("timed_out"),
        started_at=item.instant("started_ns"),
        duration_s=item.integer("duration_ns", default=0) / 1e9,
        stdout_bytes=item.integer("stdout_bytes"),
        stderr_bytes=item.integer("stderr_bytes"),
        stdout_start=item.integer("stdout_start", default=0),
        stderr_start=item.integer("stderr_start", default=0),
    )
