"""``python -m benchmarks [NAME ...]``: measure, print a table, keep the raw samples."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

import aetherium
from benchmarks.figure import Figure

ALL = ("exec_round_trip", "create_to_output", "cli_start", "throughput", "footprint")
RESULTS = Path(__file__).parent / "results"


async def measure(names: tuple[str, ...]) -> list[Figure]:
    """Run the named benchmarks on a fresh state directory."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as state:
        async with aetherium.open(aetherium.Config(), state_directory=state) as engine:
            for name in names:
                figures += await import_module(f"benchmarks.{name}").measure(engine)
    return figures


def show(figures: list[Figure]) -> None:
    """Print the figures."""
    table = Table(title="Aetherium beside the plain tools (median, p99)")
    for column in ("figure", "contestant", "median", "p99", "n", "bar"):
        table.add_column(column, justify="right" if column in ("median", "p99", "n") else "left")
    for figure in figures:
        verdict = {None: "", True: f"met: {figure.bar}", False: f"MISSED: {figure.bar}"}[figure.meets_bar]
        for i, samples in enumerate((figure.ours, *figure.rivals)):
            table.add_row(
                figure.name if i == 0 else "",
                samples.name,
                f"{samples.median:.3g} {samples.unit}",
                f"{samples.p99:.3g}",
                str(len(samples.values)),
                verdict if i == 0 else "",
            )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def save(figures: list[Figure]) -> Path:
    """Write everything, raw samples included."""
    now = datetime.now(UTC)
    document = {
        "at": now.isoformat(),
        "machine": {"arch": platform.machine(), "kernel": platform.release(), "python": platform.python_version()},
        "figures": [
            {
                "name": figure.name,
                "bar": figure.bar,
                "limit": figure.limit,
                "meets_bar": figure.meets_bar,
                "notes": figure.notes,
                "samples": [
                    {"name": s.name, "unit": s.unit, "includes": s.includes, "median": s.median, "values": s.values}
                    for s in (figure.ours, *figure.rivals)
                ],
            }
            for figure in figures
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def main() -> None:
    """Measure what was asked for."""
    names = tuple(sys.argv[1:]) or ALL
    unknown = set(names) - set(ALL)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    figures = asyncio.run(measure(names))
    show(figures)
    print(f"raw samples: {save(figures)}")


if __name__ == "__main__":
    main()
