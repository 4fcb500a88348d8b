from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aetherium.app.config.expand import expand

ENVIRON = {"HOST": "db", "EMPTY": "", "TRICK": "${HOST} $$", "BYTES": "\udcff"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${HOST}", "db"),
        ("a-${HOST}-b${HOST}", "a-db-bdb"),
        ("${EMPTY}", ""),
        ("${HOST:-x}", "db"),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-}", ""),
        ("${NONE:-a b:c}", "a b:c"),
        ("${NONE:-${HOST}!}", "db!"),
        ("${NONE:-${ALSO:-${HOST}}}", "db"),
        ("${HOST:-${NONE}}", "db"),
        ("${NONE:-$$}", "$"),
        ("${NONE:-{}}", "{}"),
        ("$$", "$"),
        ("$${HOST}", "${HOST}"),
        ("$$$$", "$$"),
        ("$$${HOST}", "$db"),
        ("$HOST", "$HOST"),
        ("5 $", "5 $"),
        ("}", "}"),
        ("${TRICK}", "${HOST} $$"),
        ("${NONE:-${TRICK}}", "${HOST} $$"),
    ],
)
def test_expands(text: str, result: str) -> None:
    expansion = expand(text, ENVIRON)
    assert (expansion.text, expansion.problems) == (result, ())
    assert expansion.is_changed == ("$" in text)


OPEN = "'${' without its '}'; write '$$' for a plain '$'"
NAMELESS = "'${' without a variable's name after it; write '$$' for a plain '$'"
FORM = "after '${' only VAR} and VAR:-default} are known"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("${NONE}", ["the environment variable NONE is not set"]),
        ("${A} ${B}", ["the environment variable A is not set", "the environment variable B is not set"]),
        ("${NONE:-${ALSO}}", ["the environment variable ALSO is not set"]),
        ("${HOST", [OPEN]),
        ("${HOST:-x", [OPEN]),
        ("${HOST:-${NONE}", [OPEN]),
        ("${NONE} ${HOST", ["the environment variable NONE is not set", OPEN]),
        ("${", [NAMELESS]),
        ("${}", [NAMELESS]),
        ("${1}", [NAMELESS]),
        ("${ HOST}", [NAMELESS]),
        ("${HOST:?no}", [FORM]),
        ("${HOST-x}", [FORM]),
        ("${HÖST}", [FORM]),
        ("${BYTES}", ["what the environment variable BYTES holds is not UTF-8 text"]),
        ("${A:-" * 17 + "}" * 17, ["more than 16 '${' in each other"]),
    ],
)
def test_refuses(text: str, problems: list[str]) -> None:
    assert list(expand(text, ENVIRON).problems) == problems


def test_a_text_that_grows_without_bound_is_refused() -> None:
    expansion = expand("${BIG}" * 1000, {"BIG": "x" * 100_000})
    assert expansion.problems == ("it is longer than 1 MiB after expansion",)
    assert len(expansion.text) <= 1024 * 1024


@given(st.text())
@example("${A:-${B:-$$}}")
def test_doubling_dollars_keeps_any_text(text: str) -> None:
    expansion = expand(text.replace("$", "$$"), {})
    assert (expansion.text, expansion.problems) == (text, ())


@given(st.text(alphabet="${}:-AB?\ud800 "), st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=3)))
def test_arbitrary_text_never_crashes(text: str, environ: dict[str, str]) -> None:
    expansion = expand(text, environ)
    assert isinstance(expansion.text, str)


@given(st.text(), st.text())
def test_what_a_variable_holds_is_taken_as_it_is(before: str, held: str) -> None:
    expansion = expand(before.replace("$", "$$") + "${A}", {"A": held})
    assert (expansion.text, expansion.problems) == (before + held, ())
