"""What verbs print: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from aetherium.cli.channel import out
from aetherium.cli.errors import OutputFailed


def show_lines(lines: Sequence[str]) -> None:
    """Print lines. Raises BrokenPipeError, OutputFailed."""
    if lines:
        _out("\n".join(lines))


def show_json(document: object) -> None:
    """Print one JSON document, on one line."""
    from json import dumps

    _out(dumps(document, ensure_ascii=False))


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, aligned by spaces: good to read, good to cut."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    show_lines(
        [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [headings, *rows]
        ]
    )


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in facts)
    show_lines([f"{name:<{width}}  {value}" for name, value in facts])


def _out(text: str) -> None:
    try:
        out(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error) from error


def ago(instant: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was, in its largest unit."""
    if instant is None:
        return "-"
    return f"{span(((now or datetime.now(UTC)) - instant).total_seconds())} ago"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def size(count: float | None) -> str:
    """Return a number of bytes in a unit that keeps it short."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
