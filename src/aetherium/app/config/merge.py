"""One layer over another."""

from __future__ import annotations

from collections.abc import Iterator

from aetherium.app.config.node import Entry, Items, Node, Scalar, Table
from aetherium.app.config.problems import Problems


def merge(under: Table, over: Table, problems: Problems) -> Table:
    """Return both: mappings are joined, of anything else ``over`` wins, and what was wrong with the other is moot."""
    entries = dict(under.entries)
    for key, entry in over.entries.items():
        below = entries[key].node if key in entries else None
        if isinstance(below, Table) and isinstance(entry.node, Table):
            entries[key] = Entry(place=entries[key].place, node=merge(below, entry.node, problems))
            continue
        for scalar in () if below is None else _broken(below):
            problems.forgive(scalar)
        entries[key] = entry
    return Table(place=under.place, entries=entries)


def _broken(node: Node) -> Iterator[Scalar]:
    match node:
        case Table(entries=entries):
            for entry in entries.values():
                yield from _broken(entry.node)
        case Items(nodes=nodes):
            for item in nodes:
                yield from _broken(item)
        case Scalar(is_broken=True):
            yield node
