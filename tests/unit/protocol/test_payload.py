"""Payload's getters check type and range; whatever a guest writes, only ProtocolError comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.protocol.frames import ProtocolError
from aetherium.protocol.payload import Payload, encode_object

_GETTERS: list[Callable[[Payload], object]] = [
    lambda payload: payload.integer("x"),
    lambda payload: payload.boolean("x"),
    lambda payload: payload.text("x"),
    lambda payload: payload.os_string("x"),
    lambda payload: payload.os_strings("x"),
    lambda payload: payload.texts("x"),
    lambda payload: payload.integers("x"),
    lambda payload: payload.instant("x"),
    lambda payload: payload.has("x"),
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_object_or_a_breach(data: bytes) -> None:
    with suppress(ProtocolError):
        Payload(data)


@given(_json)
@pytest.mark.parametrize("getter", _GETTERS)
def test_any_value_is_right_or_a_breach(getter: Callable[[Payload], object], value: object) -> None:
    payload = Payload(json.dumps({"x": value}).encode())
    with suppress(ProtocolError):
        json.dumps(getter(payload), default=str).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"\xff{}",
        b"[" * 65536,
        b'{"a":' * 10000,
        b"9" * 65536,
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a":"\xed\xa0\x80"}',
    ],
)
def test_what_is_not_a_utf8_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Payload(data)


@pytest.mark.parametrize(
    ("value", "getter"),
    [
        ('"1"', lambda payload: payload.integer("x")),
        ("true", lambda payload: payload.integer("x")),
        ("1.0", lambda payload: payload.integer("x")),
        ("-1", lambda payload: payload.integer("x")),
        ("11", lambda payload: payload.integer("x", most=10)),
        (str(2**63), lambda payload: payload.integer("x")),
        ("1", lambda payload: payload.boolean("x")),
        ("null", lambda payload: payload.boolean("x")),
        ("1", lambda payload: payload.text("x")),
        ('"long"', lambda payload: payload.text("x", most=3)),
        (r'"\ud800"', lambda payload: payload.text("x")),
        (r'["\udc80"]', lambda payload: payload.texts("x")),
        (r'["\udc80"]', lambda payload: payload.os_strings("x")),
        (r'"a\u0000b"', lambda payload: payload.os_string("x")),
        (r'"\u0000YQBi"', lambda payload: payload.os_string("x")),
        (r'"\u0000***"', lambda payload: payload.os_string("x")),
        ('"a"', lambda payload: payload.texts("x")),
        ("[1]", lambda payload: payload.texts("x")),
        ("[true]", lambda payload: payload.integers("x")),
        ("[0]", lambda payload: payload.integers("x", least=1)),
        (str(-(2**63)), lambda payload: payload.instant("x")),
    ],
)
def test_wrong_values_are_refused(value: str, getter: Callable[[Payload], object]) -> None:
    with pytest.raises(ProtocolError):
        getter(Payload(f'{{"x":{value}}}'.encode()))


def test_right_values() -> None:
    payload = Payload(
        rb'{"i":5,"b":true,"t":"x\u00e9","o":"\u0000/2E=","os":["a","\u0000/w=="],"is":[1,2],"n":null,"time":1000000000}'
    )
    assert payload.integer("i", most=5) == 5
    assert payload.integer("missing", default=7) == 7
    assert payload.boolean("b")
    assert not payload.boolean("missing")
    assert payload.text("t") == "xé"
    assert payload.os_string("o") == "\udcffa"
    assert payload.os_strings("os") == ("a", "\udcff")
    assert payload.integers("is") == (1, 2)
    assert payload.texts("missing") == ()
    assert not payload.has("n")
    assert payload.has("i")
    assert payload.instant("time") == datetime.fromtimestamp(1, UTC)


@pytest.mark.parametrize("nanoseconds", [2**63 - 1, -(2**63) + 1])
def test_a_time_out_of_range_becomes_some_instant(nanoseconds: int) -> None:
    assert Payload(f'{{"x":{nanoseconds}}}'.encode()).instant("x").tzinfo is UTC


def test_none_is_left_out() -> None:
    assert encode_object({"a": None, "b": "é"}) == '{"b":"é"}'.encode()
