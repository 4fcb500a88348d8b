"""Every byte string that a name can be goes into JSON and comes back."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.model.errors import InvalidArgument
from aetherium.protocol.frames import ProtocolError
from aetherium.protocol.osstring import from_json, to_json


@given(st.binary(max_size=100).map(lambda data: data.replace(b"\0", b"x")))
def test_any_name_comes_back(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    over_the_wire = json.dumps(to_json(text), ensure_ascii=False).encode()
    assert from_json(json.loads(over_the_wire)).encode("utf-8", "surrogateescape") == name


@given(st.text(max_size=50))
def test_any_text_is_a_string_or_a_breach(text: str) -> None:
    with suppress(ProtocolError):
        from_json(text).encode("utf-8", "surrogateescape")


def test_text_stays_readable_and_other_bytes_are_base64() -> None:
    assert to_json("naïve 名") == "naïve 名"
    assert to_json("\udcffa") == "\0/2E="


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800"])
def test_what_no_system_takes_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        to_json(text)


@pytest.mark.parametrize("text", ["\0*", "\0YQ", "\0AA==", "a\0", "\0é"])
def test_what_stands_for_no_bytes_is_a_breach(text: str) -> None:
    with pytest.raises(ProtocolError):
        from_json(text)
