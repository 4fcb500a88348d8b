"""A command running in a VM, seen through one stream: its output, its input, its end."""

from __future__ import annotations

import signal
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.stream import Stream
from aetherium.model.command import Channel, Command, ExitStatus, Output, TerminalSize
from aetherium.model.errors import AetheriumError
from aetherium.protocol.codes import EXIT_TIMED_OUT
from aetherium.protocol.frames import STDERR, Frame, FrameType, ProtocolError
from aetherium.protocol.osstring import to_json
from aetherium.protocol.payload import JsonValue, Payload


class Process:
    """A command and our place in its output.

    ``read`` gives output as it comes and at last the ExitStatus. Leaving ``async with`` early kills a command that this
    process owns (a foreground exec) and merely detaches from one it attached to.
    """

    def __init__(self, connection: GuestConnection, stream: Stream, exec_id: str, *, owned: bool) -> None:
        self.id = exec_id
        self.pid = 0
        self.existing = False
        self.started_at = datetime.fromtimestamp(0).astimezone()
        self.lost = {Channel.STDOUT: 0, Channel.STDERR: 0}
        """Bytes asked for that the VM no longer keeps."""
        self.offsets = {Channel.STDOUT: 0, Channel.STDERR: 0}
        """Where the next output of each channel begins."""
        self.status: ExitStatus | None = None
        self._connection = connection
        self._stream = stream
        self._owned = owned

    @classmethod
    async def start(
        cls, connection: GuestConnection, exec_id: str, command: Command, *, stdin: bool, background: bool = False
    ) -> Process:
        """Start a command, or find the one that has this id. Returns when it runs. Raises CommandNotFound etc."""
        fields = _exec_fields(exec_id, command)
        stream = connection.open("exec", {**fields, "stdin": stdin, "background": background})
        process = cls(connection, stream, exec_id, owned=not background)
        await process._begin({})
        return process

    @classmethod
    async def attach(
        cls, connection: GuestConnection, exec_id: str, *, stdout: int = 0, stderr: int = 0, stdin: bool = False
    ) -> Process:
        """Attach to a command from byte offsets; -1 is the end of its output so far. Raises NotFound."""
        stream = connection.open(
            "attach", {"id": exec_id, "stdout_offset": stdout, "stderr_offset": stderr, "stdin": stdin}
        )
        process = cls(connection, stream, exec_id, owned=False)
        await process._begin({Channel.STDOUT: stdout, Channel.STDERR: stderr})
        return process

    async def _begin(self, wanted: dict[Channel, int]) -> None:
        try:
            with self._connection.distrust():
                frame = await self._stream.receive()
                if frame.type is not FrameType.REPLY:
                    raise ProtocolError(f"{frame.type.name} instead of REPLY")
                reply = Payload(frame.payload)
                self.pid = reply.integer("pid")
                self.existing = reply.boolean("existing")
                self.started_at = reply.instant("started_ns")
                for channel, name in ((Channel.STDOUT, "stdout_offset"), (Channel.STDERR, "stderr_offset")):
                    self.offsets[channel] = reply.integer(name, default=0)
                    asked = wanted.get(channel, 0)
                    self.lost[channel] = max(0, self.offsets[channel] - asked) if asked >= 0 else 0
        except BaseException:
            self._leave()
            raise

    async def read(self) -> Output | ExitStatus:
        """Return the next output, or the status when there is no more. Raises GuestUnreachable."""
        if self.status is not None:
            return self.status
        with self._connection.distrust():
            while True:
                frame = await self._stream.receive()
                if frame.type is FrameType.DATA:
                    return self._output(frame)
                if frame.type is FrameType.END:
                    self.status = _exit_status(Payload(frame.payload))
                    return self.status
                if frame.type is not FrameType.EOF:
                    raise ProtocolError(f"{frame.type.name} in a command's output")

    def _output(self, frame: Frame) -> Output:
        channel = Channel.STDERR if frame.flags == STDERR else Channel.STDOUT
        offset = self.offsets[channel]
        self.offsets[channel] = offset + len(frame.payload)
        return Output(channel, frame.payload, offset)

    async def wait(self) -> ExitStatus:
        """Read and drop output until the command ends."""
        while not isinstance(last := await self.read(), ExitStatus):
            pass
        return last

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to standard input; waits while the command does not take them."""
        await self._stream.send(data)

    def close_stdin(self) -> None:
        """End standard input."""
        self._stream.send_eof()

    async def signal(self, number: int) -> None:
        """Send a signal to the command's process group. Conflict when it has ended."""
        await self._connection.call("signal", {"id": self.id, "signal": number})

    async def resize(self, size: TerminalSize) -> None:
        """Tell the command's terminal its new size."""
        await self._connection.call("resize", {"id": self.id, "rows": size.rows, "cols": size.cols})

    def _leave(self) -> None:
        """Leave the command: kill it if it is ours and may still run. Never waits, so it is safe while cancelled."""
        if not self._stream.is_open:
            return
        if self._owned and self.status is None:
            # If the connection is gone, the agent's own deadline or the VM's end is what remains.
            with suppress(AetheriumError):
                self._connection.open("signal", {"id": self.id, "signal": int(signal.SIGKILL)}, unary=True).cancel()
        self._stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()


def _exec_fields(exec_id: str, command: Command) -> dict[str, JsonValue]:
    return {
        "id": exec_id,
        "argv": [to_json(word) for word in command.argv],
        "env": {to_json(name): to_json(value) for name, value in command.env.items()},
        "cwd": None if command.cwd is None else to_json(command.cwd),
        "user": command.user,
        "tty": None if command.tty is None else {"rows": command.tty.rows, "cols": command.tty.cols},
        "timeout_ms": None if command.timeout_s is None else max(1, round(command.timeout_s * 1000)),
        "ring_bytes": command.ring_bytes,
        "rlimits": {name: [limit.soft, limit.hard] for name, limit in command.rlimits.items()},
    }


def _exit_status(payload: Payload) -> ExitStatus:
    timed_out = payload.boolean("timed_out")
    number = payload.integer("signal", default=0, most=64)
    return ExitStatus(
        exit_code=EXIT_TIMED_OUT if timed_out else payload.integer("exit_code", most=255),
        signal=number or None,
        timed_out=timed_out,
        started_at=payload.instant("started_ns"),
        duration_s=payload.integer("duration_ns") / 1e9,
        stdout_bytes=payload.integer("stdout_bytes", default=0),
        stderr_bytes=payload.integer("stderr_bytes", default=0),
    )
