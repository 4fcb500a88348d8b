"""What a caller may ask of a VM, and the isolation ladder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import Isolation, Mount, VMConfig

_INNER = st.text("abcxyz019._-", max_size=61).map(lambda text: text.replace("..", "."))
_ID = st.builds(
    lambda inner, end: f"{end}{inner}{end}", _INNER.filter(lambda text: ".." not in text), st.sampled_from("az09")
)


@given(_ID)
def test_good_ids(text: str) -> None:
    assert VMConfig(id=text, name=text).id == text


@pytest.mark.parametrize(
    "text", ["", "A", "-a", "a-", ".a", "a.", "a b", "a/b", "..", "a..b", "a\n", "ä", "a\0", "x" * 64, "../../etc"]
)
def test_bad_ids(text: str) -> None:
    for field in ("id", "name"):
        with pytest.raises(InvalidArgument) as caught:
            VMConfig(**{field: text})  # type: ignore[arg-type]
        assert field in caught.value.message
        assert caught.value.remedy


_BOUNDS: list[tuple[str, float, float]] = [
    ("cpus", 0.01, 1024),
    ("memory_mib", 16, 16 * 1024 * 1024),
    ("disk_mib", 1, 1024 * 1024 * 1024),
    ("pids", 8, 4 * 1024 * 1024),
    ("timeout_s", 0, 10 * 365 * 86400),
]


@pytest.mark.parametrize(("field", "least", "most"), _BOUNDS)
def test_bounds(field: str, least: float, most: float) -> None:
    for good in (least, most):
        fields: dict[str, Any] = {field: good}
        assert getattr(VMConfig(**fields), field) == good
    for bad in (least - 0.005, most + 1, -1, float("nan"), float("inf"), float("-inf")):
        fields = {field: bad}
        with pytest.raises(InvalidArgument) as caught:
            VMConfig(**fields)
        assert field in caught.value.message


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}, {"A\0": "x"}])
def test_bad_environment(env: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        VMConfig(env=env)


@pytest.mark.parametrize("labels", [{"": "x"}, {"k" * 129: "x"}, {"k": "v" * 1025}])
def test_bad_labels(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        VMConfig(labels=labels)


@pytest.mark.parametrize("path", ["relative", "", "/a/../b", "/..", "/nul\0"])
def test_bad_mounts(path: str) -> None:
    with pytest.raises(InvalidArgument):
        Mount(path, "/target")
    with pytest.raises(InvalidArgument):
        Mount("/source", path)


def test_the_ladder_is_strongest_first() -> None:
    ladder = list(Isolation)
    assert ladder == [Isolation.VM, Isolation.KERNEL, Isolation.CONTAINER, Isolation.NAMESPACE, Isolation.NONE]
    assert [step.strength for step in ladder] == sorted((step.strength for step in ladder), reverse=True)


@given(st.sampled_from(Isolation), st.sampled_from(Isolation), st.sampled_from(Isolation))
def test_meets_is_an_order(a: Isolation, b: Isolation, c: Isolation) -> None:
    assert a.meets(b) or b.meets(a)
    assert (a.meets(b) and b.meets(a)) == (a is b)
    if a.meets(b) and b.meets(c):
        assert a.meets(c)
    assert Isolation.VM.meets(a)
    assert a.meets(Isolation.NONE)
