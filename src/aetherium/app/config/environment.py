"""``AETHERIUM__VMM__PROVIDER=docker``: the environment as a layer over the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aetherium.app.config.document import Written, read_document
from aetherium.app.config.expand import is_text
from aetherium.app.config.merge import merge
from aetherium.app.config.node import Entry, Node, Scalar, Table
from aetherium.app.config.overrides import LOG_LEVEL, PREFIX
from aetherium.app.config.place import Path, Place, show_key
from aetherium.app.config.problems import Problems
from aetherium.app.config.scalar import resolve


@dataclass(frozen=True, slots=True)
class _Override:
    name: str
    keys: tuple[str, ...]
    value: str

    @property
    def place(self) -> Place:
        return Place(f"environment variable {show_key(self.name)}")


def read_environment(environ: Mapping[str, str], problems: Problems) -> Table:
    """Return what the environment sets. An empty variable sets nothing; a deeper key wins over a shallower one."""
    layer = Table(place=Place("environment"))
    seen: dict[tuple[str, ...], str] = {}
    for override in sorted(_overrides(environ), key=lambda one: (one.name != LOG_LEVEL, len(one.keys), one.name)):
        if not all(override.keys):
            problems.add(override.place, (), "names no key: write AETHERIUM__SECTION__KEY")
        elif override.keys in seen:
            problems.add(override.place, override.keys, f"is set by {seen[override.keys]}, too")
        else:
            if override.name != LOG_LEVEL:
                seen[override.keys] = override.name
            layer = merge(layer, _as_table(override, _read(override, problems)), problems)
    return layer


def _overrides(environ: Mapping[str, str]) -> Iterator[_Override]:
    for name, value in environ.items():
        if value and name == LOG_LEVEL:
            yield _Override(name, ("logging", "level"), value.lower())
        elif value and name.upper().startswith(PREFIX):
            yield _Override(name, tuple(name[len(PREFIX) :].lower().split("__")), value)


def _read(override: _Override, problems: Problems) -> Node:
    broken = Scalar(place=override.place, value=None, text="", is_broken=True)
    if not is_text(override.value):
        problems.add(override.place, override.keys, "is not UTF-8 text", node=broken)
        return broken
    text = override.value.strip()
    if text[:1] in ("{", "[") or (text[:1] in ("'", '"') and len(text) > 1 and text[-1] == text[0]):
        path: Path = override.keys
        written = Written(text, override.place.source, has_lines=False, path=path)
        return read_document(written, problems) or broken
    return Scalar(place=override.place, value=resolve(text), text=text, is_loose=True, is_from_variable=True)


def _as_table(override: _Override, node: Node) -> Table:
    place = override.place
    for key in reversed(override.keys):
        node = Table(place=place, entries={key: Entry(place=place, node=node)})
    assert isinstance(node, Table)
    return node
