from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.app.config.shield import shield

texts = st.text(st.sampled_from("${}A:-,[] \n\ue000\ue001x"))


@given(texts)
def test_restoring_gives_the_text_back_and_nothing_moves(text: str) -> None:
    shielded = shield(text)
    assert shielded.restore(shielded.text) == text
    assert len(shielded.text) == len(text)
    assert [at for at, char in enumerate(shielded.text) if char == "\n"] == [
        at for at, char in enumerate(text) if char == "\n"
    ]


@pytest.mark.parametrize("text", ["{a: ${A}}", "[${A:-x,y}, ${B:-${C:-[]}}]", "{a: b${A}c, d: $${A}}"])
def test_no_indicator_of_a_variable_is_left(text: str) -> None:
    assert "${" not in shield(text).text


@pytest.mark.parametrize("text", ["{a: $, b: {}}", "${A", "${A:-\n}", "${1}", "$ {A}", "${A-b}"])
def test_what_is_no_variable_stays(text: str) -> None:
    assert shield(text).text == text


def test_unfinished_variables_take_no_time() -> None:
    begin = time.process_time()
    shield("${A:-" * 200_000)
    assert time.process_time() - begin < 5
