from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.app.config.scalar import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("nULL", "nULL"),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("off", "off"),
        ("8080", 8080),
        ("-8", -8),
        ("+8", 8),
        ("007", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        (".INF", math.inf),
        (".", "."),
        ("e3", "e3"),
        ("١", "١"),
        ("8\n", "8\n"),
        (" 8", " 8"),
    ],
)
def test_core_rules(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = resolve(".nan")
    assert isinstance(found, float)
    assert math.isnan(found)


def test_digits_without_end_are_text() -> None:
    assert resolve("9" * 100_000) == "9" * 100_000


@given(st.integers(-(10**40), 10**40))
def test_every_integer_is_itself(number: int) -> None:
    assert resolve(str(number)) == number
