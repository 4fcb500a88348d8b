"""Fuzz the frame decoder: ``python tests/fuzz/fuzz_frames.py -max_total_time=20``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # not installed everywhere, and without types

with atheris.instrument_imports(include=["aetherium"]):
    from aetherium.protocol.frames import HEADER, MAX_CONTROL, Decoder, Frame, ProtocolError, encode
    from aetherium.protocol.payload import Payload


def decode(pieces: list[bytes]) -> tuple[list[Frame], str | None]:
    """Return the frames before the first breach, and the breach."""
    decoder, frames = Decoder(), []
    try:
        for piece in pieces:
            for frame in decoder.feed(piece):
                frames.append(frame)
    except ProtocolError as error:
        return frames, str(error)
    return frames, None


def stream_of_bytes(source: Any) -> bytes:
    """Return frames that are often right, or any bytes."""
    said = bytearray()
    while source.remaining_bytes():
        if source.ConsumeIntInRange(0, 15) == 0:
            said += source.ConsumeBytes(20)
            continue
        kind = source.ConsumeIntInRange(0, 13)
        payload = source.ConsumeBytes(4 if kind == 9 else source.ConsumeIntInRange(0, 70))
        stream = 0 if kind in (1, 2, 3) else source.ConsumeIntInRange(0, 300)
        said += HEADER.pack(len(payload), stream, kind, source.ConsumeIntInRange(0, 1) if kind in (7, 8) else 0, 0)
        said += payload
    return bytes(said)


def one_input(data: bytes) -> None:
    """Decode the bytes whole and in pieces: both must agree, and encode back to what was read."""
    source = atheris.FuzzedDataProvider(data)
    size = source.ConsumeIntInRange(1, 100)
    data = stream_of_bytes(source)
    whole, breach = decode([data])
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert decode(pieces) == (whole, breach)
    again = b"".join(map(encode, whole))
    assert data.startswith(again)
    for frame in whole:
        assert len(frame.payload) <= MAX_CONTROL
        try:
            payload = Payload(frame.payload)
            for getter in (payload.integer, payload.text, payload.os_string, payload.texts, payload.instant):
                getter("x")
        except ProtocolError:
            pass


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=2000", "-len_control=0"], one_input)
    atheris.Fuzz()
