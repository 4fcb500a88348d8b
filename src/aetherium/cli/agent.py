"""Asks this installation's guest agent who it is, by starting it for a moment."""

from __future__ import annotations

import json
import select
import subprocess
import time

from aetherium._util.guest_binary import guest_agent
from aetherium.protocol.frames import Decoder, FrameType, ProtocolError

_TIMEOUT_S = 5.0


def greeting() -> dict[str, object] | None:
    """Return what the agent says of itself when somebody connects; None when it is missing or does not run."""
    try:
        agent = subprocess.Popen(
            [guest_agent(), "serve", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    with agent:
        try:
            return _first_frame(agent)
        finally:
            agent.kill()


def _first_frame(agent: subprocess.Popen[bytes]) -> dict[str, object] | None:
    assert agent.stdout is not None
    fd = agent.stdout.fileno()
    decoder = Decoder()
    until = time.monotonic() + _TIMEOUT_S
    while select.select([fd], [], [], max(0, until - time.monotonic()))[0]:
        data = agent.stdout.read1(65536)  # type: ignore[attr-defined]
        if not data:
            return None
        try:
            for frame in decoder.feed(data):
                hello = json.loads(frame.payload) if frame.type is FrameType.HELLO else None
                return hello if isinstance(hello, dict) else None
        except (ProtocolError, ValueError):
            return None
    return None
