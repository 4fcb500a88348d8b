"""Whatever a connection sends, the agent stays, serves others and keeps nothing of it."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherium.protocol.frames import HEADER, Frame, FrameType, encode
from tests.guest.agent import Agent
from tests.guest.client import Client

OPERATIONS = [
    "exec",
    "attach",
    "signal",
    "resize",
    "list",
    "stat",
    "dir",
    "read",
    "write",
    "mkdir",
    "move",
    "remove",
    "chmod",
    "upload",
    "download",
    "watch",
    "connect",
    "ports",
    "metrics",
    "configure",
    "thaw",
]
FIELDS = [
    "id",
    "argv",
    "env",
    "cwd",
    "user",
    "tty",
    "stdin",
    "timeout_ms",
    "ring_bytes",
    "rlimits",
    "background",
    "stdout_offset",
    "stderr_offset",
    "signal",
    "rows",
    "cols",
    "path",
    "follow",
    "offset",
    "length",
    "mode",
    "append",
    "parents",
    "uid",
    "gid",
    "source",
    "destination",
    "recursive",
    "missing_ok",
    "port",
    "host",
    "entropy",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["", "p", "f", "d", "d/f", "true", "cat", "\0", "\0//8=", "\0AA==", "x" * 300, "localhost", "é\n"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "nofile", "A"]), inner, max_size=3)
    ),
    max_leaves=6,
)
# Relative paths only: nothing here may name a place outside the work directory, or set the machine's clock.
requests = st.builds(
    lambda op, fields: {**fields, "op": op},
    st.sampled_from(OPERATIONS),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=8),
)
frames = st.one_of(
    requests.map(lambda request: (FrameType.REQUEST, json.dumps(request).encode())),
    st.binary(min_size=1, max_size=2000).map(lambda data: (FrameType.DATA, data)),
    st.just((FrameType.EOF, b"")),
    st.just((FrameType.CANCEL, b"")),
    st.integers(0, 2**32 - 1).map(lambda count: (FrameType.WINDOW, struct.pack("<I", count))),
)


@pytest.fixture(scope="module")
def shared(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One agent for all examples: what an earlier one left behind is part of the trial."""
    directory = tmp_path_factory.mktemp("hostile")
    with Agent(binary, directory) as agent:
        (agent.workdir / "d").mkdir()
        (agent.workdir / "d" / "f").write_bytes(b"content")
        yield agent


def settle(agent: Agent, hostile: Client) -> None:
    hostile.close()
    with Client(agent.path) as client:
        while client.call("metrics")["connections"] > 1:
            pass
        for item in client.open("list").collect(reply=False).events:
            if item["state"] == "running":
                client.call("signal", id=item["id"], signal=9)
        client.run("true")
    assert agent.process.poll() is None


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(st.tuples(frames, st.integers(0, 4)), max_size=12))
def test_any_frames(shared: Agent, sent: list[tuple[tuple[FrameType, bytes], int]]) -> None:
    hostile = Client(shared.path)
    number = 0
    data = b""
    for (kind, payload), back in sent:
        if kind is FrameType.REQUEST:
            number += 1
            data += encode(Frame(kind, number, payload))
        elif number:
            data += encode(Frame(kind, max(1, number - back), payload))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        hostile.socket.sendall(data)
    settle(shared, hostile)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    length=st.integers(0, 2**32 - 1) | st.integers(0, 200),
    stream=st.integers(0, 3),
    kind=st.integers(0, 14),
    flags=st.sampled_from([0, 0, 0, 1, 255]),
    rest=st.binary(max_size=200),
)
def test_any_header(shared: Agent, length: int, stream: int, kind: int, flags: int, rest: bytes) -> None:
    hostile = Client(shared.path)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        hostile.socket.sendall(HEADER.pack(length, stream, kind, flags, 0) + rest)
    settle(shared, hostile)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=2000), position=st.integers(0, 3000), real=st.booleans())
def test_any_upload(shared: Agent, data: bytes, position: int, real: bool) -> None:
    """Random bytes, or a real tar with a part of it overwritten."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a", "b" * 150, "c/d"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(bytes(700)))
    archive = bytearray(buffer.getvalue()) if real else bytearray()
    archive[position : position + len(data)] = data
    hostile = Client(shared.path)
    stream = hostile.open("upload", path="into")
    stream.send(bytes(archive))
    stream.eof()
    while stream.next().type not in (FrameType.END, FrameType.ERROR):
        pass
    settle(shared, hostile)
