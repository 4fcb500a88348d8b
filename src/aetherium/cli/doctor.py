"""``aetherium doctor``."""

from __future__ import annotations

import asyncio

from aetherium.cli.channel import STDOUT, has_colours
from aetherium.cli.checkup import Finding, examine
from aetherium.cli.errors import EXIT_ENGINE, guarded
from aetherium.cli.interrupts import Interrupts
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_json, show_lines
from aetherium.cli.progress import progress

_INDENT = " " * 4


def doctor(*, options: Options = DEFAULTS) -> int:
    """Find out what works on this host by trying it, and what to do about the rest.

    Every driver is tried: a guest is started, asked, and ended. Exits with 0 when VMs can be made with the isolation
    that the configuration asks for, else with 125.
    """
    return guarded(lambda: asyncio.run(_work(options)), json=options.json, verbose=options.verbose)


async def _work(options: Options) -> int:
    with Interrupts().listening():
        async with progress("trying what works here"):
            findings = await examine(options)
    is_well = all(item.works for item in findings if item.is_needed) and any(
        item.works and item.meets_floor for item in findings if item.isolation is not None
    )
    if options.json:
        show_json({"ok": is_well, "checks": [item.as_json() for item in findings]})
    else:
        _show(findings, is_well, verbose=options.verbose)
    return 0 if is_well else EXIT_ENGINE


def _show(findings: list[Finding], is_well: bool, *, verbose: bool) -> None:
    width = max(len(item.name) for item in findings)
    lines: list[str] = []
    for title, part in (
        ("This installation", [item for item in findings if item.isolation is None]),
        ("Drivers", [item for item in findings if item.isolation is not None]),
    ):
        lines.append(title)
        for item in part:
            lines += _lines(item, width, verbose=verbose)
    lines.append("")
    lines.append(
        "VMs can be made here: aetherium run -- echo hello" if is_well else "No VM can be made here as things are."
    )
    show_lines(lines)


def _lines(item: Finding, width: int, *, verbose: bool) -> list[str]:
    colour, plain = ("\x1b[32m" if item.works else "\x1b[31m", "\x1b[0m") if has_colours(STDOUT) else ("", "")
    mark = f"{colour}{'works' if item.works else 'fails'}{plain}"
    isolation = "" if item.isolation is None else f"{item.isolation:<10} "
    lines = [f"  {item.name:<{width}}  {isolation}{mark}  {item.reason}"]
    if not item.works and item.remedy:
        lines.append(f"{_INDENT}remedy: {item.remedy}")
    if item.works and item.isolation is not None and not item.meets_floor:
        lines.append(f"{_INDENT}not used: it gives less isolation than is asked for")
    if verbose:
        lines += [f"{_INDENT}{name}: {value}" for name, value in sorted(item.details.items())]
    return lines
