"""Layers to a ``Config``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from aetherium.app.config.build import Wish, build
from aetherium.app.config.node import Entry, Items, Node, Scalar, Table, shown
from aetherium.app.config.place import Path, show_path
from aetherium.app.config.problems import Problems
from aetherium.app.config.registry import Registry
from aetherium.app.config.section import PROVIDER, Frame, Sorted, Sorter
from aetherium.app.config.shape import fields_of
from aetherium.app.config.suggest import suggest
from aetherium.app.config.wording import quoted
from aetherium.model.config import Config

_OPTIONS = "options"
_INTEGRATIONS = "integrations"


@dataclass(frozen=True, slots=True)
class Assembled:
    """A configuration, and where each key that is not a default was written."""

    config: Config
    origins: Mapping[str, str]


def assemble(layers: Sequence[Table], registry: Registry, problems: Problems) -> Assembled:
    """Return the configuration that the layers, weakest first, make. Raises ConfigInvalid with every problem."""
    kinds = fields_of(Config) or {}
    written: dict[str, list[Entry]] = {}
    for layer in layers:
        for key, entry in layer.entries.items():
            if key in kinds:
                written.setdefault(key, []).append(entry)
            else:
                problems.add(entry.place, (shown(key, entry),), f"unknown key{suggest(key, kinds)}")
    sections: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, entries in written.items():
        sections[name] = _section(_frame(name, kinds[name]), kinds[name], entries, registry, problems, origins)
    problems.raise_any()
    return Assembled(Config(**sections), origins)


def _frame(name: str, kind: type[Any]) -> Frame:
    own = dict(fields_of(kind) or {})
    has_options = own.pop(_OPTIONS, None) is not None
    default = next((field.default for field in fields(kind) if field.name == PROVIDER), None)
    return Frame(name=name, own=own, provider=default if isinstance(default, str) else None, has_options=has_options)


def _section(
    frame: Frame,
    kind: type[Any],
    entries: Sequence[Entry],
    registry: Registry,
    problems: Problems,
    origins: dict[str, str],
) -> Any:
    sorter = Sorter(frame, registry, problems)
    found = sorter.sort(entries)
    if frame.name == _INTEGRATIONS:
        _check_enabled(found.own, registry, problems)
    keys = {key: entry for key, entry in found.own.entries.items() if key != PROVIDER}
    own = Table(place=found.own.place, entries=keys)
    value = build(Wish(kind, own, entries[-1].place, lambda path: (frame.name, *path)), problems)
    options = _options(sorter, found, problems)
    origins.update(_origins(found.own, (frame.name,)))
    for name, table in found.options.items():
        origins.update(_origins(table, (frame.name, name)))
    if value is None:
        return None
    named = {} if found.provider is None else {PROVIDER: found.provider}
    return replace(value, **named, **({_OPTIONS: options} if frame.has_options else {}))


def _options(sorter: Sorter, found: Sorted, problems: Problems) -> dict[str, Any]:
    """Build each provider's options. Those of the chosen one are built even from nothing, so that what it requires is
    asked for, but kept only if something was written."""
    options = {}
    section = sorter.frame.name
    for name, kind in sorter.option_types(found).items():
        table = found.options.get(name, Table(place=found.place))
        place = found.place if name == found.provider else table.place

        def written(path: Path, name: str = name) -> Path:
            is_inline = bool(path) and (name, path[0]) in found.inline
            return (section, *path) if is_inline else (section, name, *path)

        value = build(Wish(kind, table, place, written), problems)
        if name in found.options:
            options[name] = value
    return options


def _check_enabled(own: Table, registry: Registry, problems: Problems) -> None:
    """Note integrations that nobody offers."""
    known = registry.names(_INTEGRATIONS)
    enabled = own.entries["enabled"].node if "enabled" in own.entries else None
    for index, node in enumerate(enabled.nodes if isinstance(enabled, Items) else ()):
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value not in known:
            value = quoted(node)
            reason = suggest(node.value, known, what="known are") or "; there are none"
            message = f"unknown integration{' ' if value else ''}{value}{reason}"
            problems.add(node.place, (_INTEGRATIONS, "enabled", index), message)


def _origins(node: Node, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place of each value; a list is one value."""
    if isinstance(node, Table) and (node.entries or len(path) == 1):
        for key, entry in node.entries.items():
            yield from _origins(entry.node, (*path, key))
    else:
        yield show_path(path), str(node.place)
