"""The generator of the synchronous face: up to date, complete, and never silent about what it does not understand."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aetherium.app.open import open_
from aetherium.app.sync import _generated

SCRIPT = Path(__file__).parents[3] / "scripts" / "generate_sync.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_sync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_sync"] = module
    spec.loader.exec_module(module)
    return module


generator: Any = load()
FACES = {face.name: face for face in generator.FACES}


def test_the_generated_module_is_up_to_date() -> None:
    assert generator.main(["--check"]) == 0


def test_check_sees_a_difference_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "_generated.py"
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(generator, "TARGET", stale)
    monkeypatch.setattr(generator, "generate", lambda: "fresh\n")
    assert generator.main(["--check"]) == 1
    assert not stale.exists()
    stale.write_text("stale\n")
    assert generator.main(["--check"]) == 1
    assert stale.read_text() == "stale\n"
    assert "out of date" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert stale.read_text() == "fresh\n"
    assert generator.main(["--check"]) == 0


def test_wrong_usage() -> None:
    assert generator.main(["--chekc"]) == 2


# The two faces side by side.

WORDS = (
    ("AbstractAsyncContextManager", "AbstractContextManager"),
    ("AsyncIterator", "Iterator"),
    ("AsyncIterable", "Iterable"),
)
INPUTS = ("Input", "Data", "Input | None")


def plain(annotation: str, *, decorated: bool = False) -> str:
    if annotation in INPUTS:
        return annotation.replace("Data", "Input").replace("Input", "SyncInput")
    if decorated:
        annotation = f"AbstractContextManager{annotation.removeprefix('AsyncIterator')}"
    for word, other in WORDS:
        annotation = annotation.replace(word, other)
    annotation = re.sub(r"^AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", annotation)
    return annotation.replace("[Process]", "[SyncProcess]").replace("[Tunnel]", "[SyncTunnel]")


def methods() -> Iterator[tuple[str, str]]:
    for name, face in FACES.items():
        inner = getattr(importlib.import_module(face.module), name)
        for member, value in vars(inner).items():
            if not member.startswith("_") and member not in face.left_out and callable(value):
                yield name, member


@pytest.mark.parametrize(("class_name", "method"), list(methods()))
def test_a_method_has_the_same_signature(class_name: str, method: str) -> None:
    inner = getattr(getattr(importlib.import_module(FACES[class_name].module), class_name), method)
    outer = getattr(getattr(_generated, f"Sync{class_name}"), method)
    assert not inspect.iscoroutinefunction(outer)
    asked, given = inspect.signature(inner), inspect.signature(outer)
    expected = [
        (p.name, p.kind, p.default, plain(p.annotation) if p.name != "self" else p.annotation)
        for p in asked.parameters.values()
    ]
    assert [(p.name, p.kind, p.default, p.annotation) for p in given.parameters.values()] == expected
    decorated = hasattr(inner, "__wrapped__")
    assert given.return_annotation == plain(asked.return_annotation, decorated=decorated)
    assert outer.__doc__


@pytest.mark.parametrize("class_name", FACES)
def test_a_face_has_every_public_member_and_no_other(class_name: str) -> None:
    face = FACES[class_name]
    inner = getattr(importlib.import_module(face.module), class_name)
    outer = getattr(_generated, f"Sync{class_name}")
    there = {name for name in (*vars(inner), *getattr(inner, "__annotations__", {})) if not name.startswith("_")}
    expected = (there | set(face.attributes)) - set(face.left_out)
    assert {name for name in vars(outer) if not name.startswith("_")} == expected


def test_open_sync_takes_what_open_takes() -> None:
    assert inspect.signature(_generated.open_sync).parameters == inspect.signature(open_).parameters


# What it does not understand.

HEAD = '''
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

Input = bytes | AsyncIterable[bytes]


class Inner:
    """Doc."""

'''


def face_of(body: str, **tables: Any) -> str:
    text = HEAD + "\n".join(f"    {line}" if line else "" for line in body.split("\n")) + "\n"
    face = generator.Face("sample", "Inner", **tables)
    output = generator.Output((face,))
    generator.FaceWriter(face, generator.Module("sample", text), output).write()
    lines: list[str] = output.lines
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ('async def f(self, a: int, *, b: str = "x") -> int:\n    """D."""', "call(lambda: self._inner.f(a, b=b))"),
        ('async def f(self) -> None:\n    """D."""', "        self._portal.call(lambda: self._inner.f())"),
        ('def f(self) -> int:\n    """D."""', "return self._portal.run(lambda: self._inner.f())"),
        ('@property\ndef f(self) -> int:\n    """D."""', "return self._inner.f"),
        (
            'async def f(self) -> AsyncIterator[int]:\n    """D."""\n    yield 1',
            'f(self) -> Iterator[int]:\n        """D."""\n        return self._portal.iterate(',
        ),
        (
            'async def f(self, i: Input) -> AsyncIterator[int]:\n    """D."""\n    yield 1',
            "with fed(i) as fed_i:\n            yield from self._portal.iterate(lambda: self._inner.f(fed_i))",
        ),
        (
            'async def f(self, *, i: Input | None = None) -> int:\n    """D."""',
            "with fed(i) as fed_i:\n            return self._portal.call(lambda: self._inner.f(i=fed_i))",
        ),
        (
            '@asynccontextmanager\nasync def f(self) -> AsyncIterator[int]:\n    """D."""\n    yield 1',
            "f(self) -> AbstractContextManager[int]:",
        ),
        (
            'def f(self) -> AbstractAsyncContextManager[AsyncIterator[int]]:\n    """D."""',
            "return self._portal.hold_iterator(lambda: self._inner.f())",
        ),
        (
            'def f(self) -> AbstractAsyncContextManager["Inner"]:\n    """D."""'.replace('"Inner"', "Inner"),
            "self._portal.hold(lambda: self._inner.f(), lambda held: SyncInner(held, self._portal))",
        ),
        (
            'def list(self) -> int:\n    """D."""\ndef f(self) -> list[int]:\n    """D."""',
            "f(self) -> builtins.list[int]:",
        ),
    ],
)
def test_what_is_written(body: str, written: str) -> None:
    assert written in face_of(body)


@pytest.mark.parametrize(
    "body",
    [
        "async def f(self) -> int: ...",
        'async def f(self):\n    """D."""',
        'async def f(self, a) -> int:\n    """D."""',
        'async def f(self, *a: int) -> int:\n    """D."""',
        'async def f(self, **a: int) -> int:\n    """D."""',
        'async def f(self, a: int, /) -> int:\n    """D."""',
        'async def f(self, a: int = int()) -> int:\n    """D."""',
        'async def f(self, a: Callable[[], int]) -> int:\n    """D."""',
        'async def f(self, a: Awaitable[int]) -> int:\n    """D."""',
        'async def f(self, a: AsyncIterator[int]) -> int:\n    """D."""',
        'async def f(self, a: AbstractAsyncContextManager[int]) -> int:\n    """D."""',
        'async def f(self, a: Inner) -> int:\n    """D."""',
        'async def f(self, a: Unknown) -> int:\n    """D."""',
        'async def f(self, a: "int") -> int:\n    """D."""',
        'async def f(self, a: module.Name) -> int:\n    """D."""',
        'async def f(self) -> Inner:\n    """D."""',
        'async def f(self) -> Input:\n    """D."""',
        'async def f(self) -> Any:\n    """D."""',
        'def f(self) -> Coroutine[Any, Any, int]:\n    """D."""',
        'async def f(self) -> AsyncIterator[int]:\n    """D."""',
        'async def f(self) -> list[AsyncIterator[int]]:\n    """D."""',
        'async def f(self) -> AsyncIterator[Inner]:\n    """D."""\n    yield self',
        'async def f(self) -> AbstractAsyncContextManager[int]:\n    """D."""',
        'def f(self, i: Input) -> AbstractAsyncContextManager[int]:\n    """D."""',
        'def f(self) -> AbstractAsyncContextManager[list[Inner]]:\n    """D."""',
        'def f(self) -> AbstractAsyncContextManager[AbstractAsyncContextManager[int]]:\n    """D."""',
        '@asynccontextmanager\nasync def f(self) -> AsyncIterator[int]:\n    """D."""',
        '@contextmanager\ndef f(self) -> int:\n    """D."""',
        '@classmethod\nasync def f(cls) -> int:\n    """D."""',
        '@staticmethod\nasync def f() -> int:\n    """D."""',
        '@property\nasync def f(self) -> int:\n    """D."""',
        'async def __aenter__(self) -> int:\n    """D."""',
        'def __len__(self) -> int:\n    """D."""',
        'class Nested:\n    """D."""',
        "LIMIT = 3",
        "limit: int",
        "def __init__(self) -> None:\n    self.a = 1",
        'def __init__(self) -> None:\n    self.a = make()\n    """D."""',
        'def __init__(self) -> None:\n    self.a = self.b = 1\n    """D."""',
        "def __init__(self) -> None:\n    if True:\n        self.a = 1",
        "if True:\n    pass",
    ],
)
def test_what_it_does_not_understand_is_an_error(body: str) -> None:
    with pytest.raises(generator.Unsupported, match="sample"):
        face_of(body)


def test_what_the_tables_tell_is_used_once() -> None:
    body = 'def __init__(self) -> None:\n    self.a = make()\n    self.b: int = 1\n    """D."""'
    table = {"a": generator.Attribute("int", "E."), "b": generator.Attribute()}
    assert "def a(self) -> int:" in face_of(body, attributes=table)
    for more in ({"b": generator.Attribute("int")}, {"b": generator.Attribute(doc="F.")}):
        with pytest.raises(generator.Unsupported, match="known 2 times"):
            face_of(body, attributes=table | more)


@pytest.mark.parametrize(
    "tables",
    [{"left_out": {"gone": "why"}}, {"attributes": {"gone": generator.Attribute("int", "D.")}}],
    ids=["left_out", "attributes"],
)
def test_a_row_that_nothing_needs_is_an_error(tables: dict[str, Any]) -> None:
    with pytest.raises(generator.Unsupported, match="gone"):
        face_of('async def f(self) -> int:\n    """D."""', **tables)


def test_a_word_that_no_docstring_says_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(generator.WORDS, "no docstring says this", "")
    with pytest.raises(generator.Unsupported, match="no docstring says"):
        generator.generate()


def test_a_left_out_member_is_left_out() -> None:
    assert "def f" not in face_of("async def f(self, *a) -> int: ...", left_out={"f": "why"})
