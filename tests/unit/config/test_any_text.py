"""Whatever stands in a file or the environment, the answer is a configuration or ConfigInvalid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aetherium.app.config import dump, load
from aetherium.model.errors import ConfigInvalid

from .fakes import REGISTRY

quietly = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
FRAGMENTS = (
    *("storage", "vmm", "server", "logging", "integrations", "bubblewrap", "postgres", "provider", "port", "url"),
    *("enabled", "defaults", "env", "limits", "either", "auto", "sqlite", "format"),
    *(
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "!t ",
        "|\n",
        ">-\n",
    ),
    *(
        "${A}",
        "${A:-",
        "}",
        "$$",
        "${",
        "\\U",
        "\\x",
        "FFFFFFFF",
        "\t",
        "\0",
        "---",
        "...",
        "%YAML 1.2",
        "? ",
        "<<",
        "~",
    ),
    *("1", "-1", "1e999", ".nan", "0x", "true", "null", "\x85", "\u2028", "\ufeff", "\ud800", "\ue000"),
)
yamlish = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)


def answer(file: Path, data: bytes, environ: Mapping[str, str]) -> None:
    file.write_bytes(data)
    problems: tuple[str, ...] = ()
    try:
        assert dump(load(file, environ=environ, registry=REGISTRY).config)
    except ConfigInvalid as error:
        problems = error.problems or ("",)
    for problem in problems:
        assert problem.startswith((f"{file}:", "environment variable "))
        assert len(problem.splitlines()) == 1


@quietly
@given(st.one_of(yamlish, st.text()), st.dictionaries(st.just("A"), st.text(max_size=4)))
@example("${A}", {"A": "\udc00"})
@example("storage: {sqlite: {a: " + "{b: " * 40, {})
@example('a: "\\UFFFFFFFF"', {})
def test_text(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    answer(tmp_path / "a.yaml", text.encode("utf-8", "surrogatepass"), environ)


@quietly
@given(st.binary())
def test_bytes(tmp_path: Path, data: bytes) -> None:
    answer(tmp_path / "a.yaml", data, {})


names = st.lists(
    st.sampled_from(["VMM", "STORAGE", "PROVIDER", "LOGGING", "SERVER", "PORT", "BUBBLEWRAP", "ENV", "X", ""]),
    max_size=4,
).map(lambda keys: "AETHERIUM__" + "__".join(keys))


@quietly
@given(
    st.dictionaries(names, st.one_of(yamlish, st.text(), st.sampled_from(["{a: 1}", "[1]", "postgres"])), max_size=4)
)
@example({"AETHERIUM__VMM": "{bubblewrap: {env: 1}}", "AETHERIUM__VMM__BUBBLEWRAP__ENV__A": "1"})
def test_environment(tmp_path: Path, environ: dict[str, str]) -> None:
    answer(tmp_path / "a.yaml", b"vmm: {bubblewrap: {env: {A: b}}}", environ)
