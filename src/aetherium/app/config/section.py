"""One section of the configuration: whose keys are whose.

A section holds keys of its own, sections of providers, and, next to ``provider``, options of the chosen provider (the
one-line form). Each layer (file, environment) is sorted by itself, because inline options belong to the provider that
is named beside them: switching the provider by the environment must not hand it the options of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aetherium.app.config.merge import merge
from aetherium.app.config.node import Entry, Node, Scalar, Table, kind_of, shown
from aetherium.app.config.place import Path, Place
from aetherium.app.config.problems import Problems
from aetherium.app.config.registry import Registry, Unloadable
from aetherium.app.config.shape import fields_of
from aetherium.app.config.suggest import suggest
from aetherium.app.config.wording import of_type, one_line, quoted
from aetherium.model.config import AUTO

PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a section before anything is read: its name, its own fields, its default provider (None for a
    section that has none), whether there are sections of providers in it."""

    name: str
    own: Mapping[str, Any]
    provider: str | None
    has_options: bool


@dataclass(slots=True)
class Sorted:
    """A section's keys by owner, all layers together. ``inline`` has the options that were written next to
    ``provider``, as (provider, key)."""

    own: Table
    provider: str | None
    place: Place
    options: dict[str, Table] = field(default_factory=dict)
    inline: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Sorter:
    """Sorts one section."""

    frame: Frame
    registry: Registry
    problems: Problems
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = self.registry.names(self.frame.name)  # once: it may look through installed packages

    def sort(self, layers: Sequence[Entry]) -> Sorted:
        """Return the section's keys by owner; ``layers`` are the section in each layer, weakest first."""
        tables = [(entry, table) for entry in layers if (table := self.as_table(entry, (self.frame.name,))) is not None]
        own = Table(place=layers[0].place)
        result = Sorted(own=own, provider=self.frame.provider, place=layers[0].place)
        chosen = [table.entries[PROVIDER] for _, table in tables if PROVIDER in table.entries]
        if self.frame.provider is not None and chosen:
            result.provider = self.check_provider(chosen[-1])
            result.place = chosen[-1].place
        for _, table in tables:
            self.sort_layer(table, result)
        return result

    def as_table(self, entry: Entry, path: Path) -> Table | None:
        """Return a section as a mapping; one without anything in it is empty."""
        match entry.node:
            case Table() as table:
                return table
            case Scalar(is_broken=True):
                return None
            case Scalar(value=None):
                return Table(place=entry.place)
        self.problems.add(entry.place, path, f"must be a mapping, not {kind_of(entry.node)}")
        return None

    def check_provider(self, entry: Entry) -> str | None:
        """Return the chosen provider; None when that cannot be known, which is noted."""
        name, path = _text(entry.node), (self.frame.name, PROVIDER)
        if name is None:
            if not (isinstance(entry.node, Scalar) and entry.node.is_broken):
                self.problems.add(entry.place, path, of_type(["a string"], entry.node))
            return None
        if name not in self.choices():
            value = quoted(entry.node)
            known = suggest(name, self.choices(), what="known are")
            self.problems.add(entry.place, path, f"unknown provider{' ' if value else ''}{value}{known}")
            return None
        return name

    def choices(self) -> tuple[str, ...]:
        """Return what ``provider`` may be."""
        automatic = (AUTO,) if self.frame.provider == AUTO else ()
        return (*automatic, *self.names)

    def sort_layer(self, table: Table, result: Sorted) -> None:
        """Add one layer to the result."""
        beside = result.provider
        if self.frame.provider is not None and PROVIDER in table.entries:
            named = _text(table.entries[PROVIDER].node)
            beside = named if named in self.choices() else result.provider
        own: dict[str, Entry] = {}
        nested: dict[str, Table] = {}
        inline: dict[str, Entry] = {}
        for key, entry in table.entries.items():
            if key in self.frame.own:
                own[key] = entry
            elif self.frame.has_options and key in self.names:
                found = self.as_table(entry, (self.frame.name, key))
                nested |= {} if found is None else {key: Table(place=entry.place, entries=found.entries)}
            else:
                inline[key] = entry
        result.own = merge(result.own, Table(place=table.place, entries=own), self.problems)
        for name, section in nested.items():
            self.add_options(result, name, section)
        self.add_inline(result, beside, inline, nested)
        if beside is not None and beside != AUTO:
            self.share(result, beside, own, nested)

    def add_options(self, result: Sorted, name: str, section: Table) -> None:
        """Lay a provider's section over what is there."""
        result.options[name] = merge(result.options.get(name, Table(place=section.place)), section, self.problems)
        result.inline -= {(name, key) for key in section.entries}

    def add_inline(
        self, result: Sorted, beside: str | None, inline: Mapping[str, Entry], nested: Mapping[str, Table]
    ) -> None:
        """Give what is written next to ``provider`` to that provider; note what it does not know."""
        options = self.options_of(beside)
        if options is None or (self.frame.provider is not None and beside is None):
            return  # the provider is the problem, not its options
        for key, entry in inline.items():
            path = (self.frame.name, key)
            if beside is None or key not in options:
                known = {*self.frame.own, *options, *(self.names if self.frame.has_options else ())}
                unknown = (self.frame.name, shown(key, entry))
                self.problems.add(entry.place, unknown, f"unknown key{suggest(key, known)}")
            elif beside in nested and key in nested[beside].entries:
                other = nested[beside].entries[key].place
                self.problems.add(entry.place, path, f"is given again as {self.frame.name}.{beside}.{key} at {other}")
            else:
                self.add_options(result, beside, Table(place=entry.place, entries={key: entry}))
                result.inline.add((beside, key))

    def share(self, result: Sorted, beside: str, own: Mapping[str, Entry], nested: Mapping[str, Table]) -> None:
        """Hand keys of the section to a provider that has an option of the same name, unless its section sets it."""
        options = self.options_of(beside) or {}
        given = nested[beside].entries if beside in nested else {}
        shared = {key: entry for key, entry in own.items() if key in options and key not in given and key != PROVIDER}
        if shared:
            self.add_options(result, beside, Table(place=result.place, entries=shared))
            result.inline |= {(beside, key) for key in shared}

    def options_of(self, provider: str | None) -> Mapping[str, Any] | None:
        """Return a provider's options by name; None when they cannot be loaded."""
        if provider is None or provider not in self.names:
            return {}
        try:
            kind = self.registry.config_type(self.frame.name, provider)
        except Unloadable:
            return None
        return fields_of(kind) or {}

    def option_types(self, result: Sorted) -> dict[str, type[Any]]:
        """Return the ``Config`` of each provider that has a section or is chosen. One that cannot be loaded is a
        problem only if it is the chosen one."""
        types = {}
        for name in dict.fromkeys((*result.options, result.provider or "")):
            if name not in self.names:
                continue
            try:
                kind = self.registry.config_type(self.frame.name, name)
            except Unloadable as error:
                if name == result.provider:
                    message = f"the provider {name!r} cannot be loaded: {one_line(str(error))}"
                    self.problems.add(result.place, (self.frame.name, PROVIDER), message)
                continue
            if kind is not None:
                types[name] = kind
            for key, entry in (result.options[name].entries if kind is None and name in result.options else {}).items():
                unknown = (self.frame.name, name, shown(key, entry))
                self.problems.add(entry.place, unknown, "unknown key; this provider has no options")
        return types


def _text(node: Node) -> str | None:
    """Return a node as a provider's name."""
    if not isinstance(node, Scalar) or node.is_broken:
        return None
    return node.value if isinstance(node.value, str) else (node.text if node.is_loose and node.text else None)
