"""The frame decoder: any split of valid bytes gives the same frames, and no bytes give anything but ProtocolError."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.protocol.frames import (
    HEADER,
    MAX_CONTROL,
    MAX_DATA,
    MAX_PING,
    Decoder,
    Frame,
    FrameType,
    ProtocolError,
    encode,
)

_streams = st.integers(1, 2**32 - 1)
_none = st.just(0)
_frames = st.one_of(
    st.builds(Frame, st.just(FrameType.HELLO), _none, st.binary(min_size=2, max_size=300), _none),
    st.builds(Frame, st.sampled_from([FrameType.PING, FrameType.PONG]), _none, st.binary(max_size=MAX_PING), _none),
    st.builds(
        Frame,
        st.sampled_from([FrameType.REPLY, FrameType.ERROR, FrameType.END, FrameType.EVENT]),
        _streams,
        st.binary(min_size=2, max_size=300),
        _none,
    ),
    st.builds(Frame, st.just(FrameType.DATA), _streams, st.binary(min_size=1, max_size=2000), st.integers(0, 1)),
    st.builds(Frame, st.just(FrameType.EOF), _streams, st.just(b""), st.integers(0, 1)),
    st.builds(Frame, st.just(FrameType.WINDOW), _streams, st.binary(min_size=4, max_size=4), _none),
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(_frames, max_size=12), st.lists(st.integers(0, 2**31), max_size=40))
def test_any_split_gives_the_same_frames(frames: list[Frame], cuts: list[int]) -> None:
    decoder = Decoder()
    data = b"".join(map(encode, frames))
    assert [frame for piece in split(data, cuts) for frame in decoder.feed(piece)] == frames


@given(st.lists(_frames, max_size=4))
def test_byte_by_byte(frames: list[Frame]) -> None:
    decoder = Decoder()
    data = b"".join(map(encode, frames))
    assert [frame for byte in data for frame in decoder.feed(bytes([byte]))] == frames


@given(st.binary(max_size=4000), st.lists(st.integers(0, 4000), max_size=20))
def test_arbitrary_bytes_are_frames_or_a_breach(data: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    with suppress(ProtocolError):
        for piece in split(data, cuts):
            for frame in decoder.feed(piece):
                assert len(frame.payload) <= MAX_CONTROL


@given(_frames, st.binary(max_size=200))
def test_garbage_behind_a_frame_does_not_hide_it(frame: Frame, garbage: bytes) -> None:
    assert next(Decoder().feed(encode(frame) + garbage)) == frame


@pytest.mark.parametrize(
    ("length", "stream", "kind", "flags", "reserved", "message"),
    [
        (0, 1, 0, 0, 0, "type 0"),
        (0, 1, 13, 0, 0, "type 13"),
        (2, 1, FrameType.REQUEST, 0, 0, "type 4"),
        (0, 1, FrameType.CANCEL, 0, 0, "type 11"),
        (0, 1, FrameType.DATA, 0, 0, "0 bytes"),
        (MAX_DATA + 1, 1, FrameType.DATA, 0, 0, "65537 bytes"),
        (2**32 - 1, 1, FrameType.REPLY, 0, 0, "4294967295 bytes"),
        (MAX_PING + 1, 0, FrameType.PONG, 0, 0, "65 bytes"),
        (1, 1, FrameType.EOF, 0, 0, "1 bytes"),
        (3, 1, FrameType.WINDOW, 0, 0, "3 bytes"),
        (1, 1, FrameType.END, 0, 0, "1 bytes"),
        (2, 1, FrameType.HELLO, 0, 0, "on stream 1"),
        (2, 0, FrameType.REPLY, 0, 0, "on stream 0"),
        (1, 0, FrameType.DATA, 0, 0, "on stream 0"),
        (1, 1, FrameType.DATA, 2, 0, "unknown flags"),
        (2, 1, FrameType.REPLY, 1, 0, "unknown flags"),
        (1, 1, FrameType.DATA, 0, 1, "unknown flags"),
    ],
)
def test_a_bad_header_is_refused_before_its_payload(
    length: int, stream: int, kind: int, flags: int, reserved: int, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        list(Decoder().feed(HEADER.pack(length, stream, kind, flags, reserved)))


def test_the_largest_frames_are_taken() -> None:
    frames = [Frame(FrameType.DATA, 1, bytes(MAX_DATA), 1), Frame(FrameType.END, 1, bytes(MAX_CONTROL))]
    assert list(Decoder().feed(b"".join(map(encode, frames)))) == frames


def test_memory_is_bounded_by_one_frame() -> None:
    frame = encode(Frame(FrameType.DATA, 1, bytes(MAX_DATA)))
    decoder = Decoder()
    tracemalloc.start()
    try:
        for _ in range(200):
            for start in range(0, len(frame), 5000):
                for _taken in decoder.feed(frame[start : start + 5000]):
                    pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_DATA
