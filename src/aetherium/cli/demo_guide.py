"""Takes the user through the demo: numbered steps, what is run, what it gave, a table at the end."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from aetherium.cli.channel import STDIN, STDOUT, has_colours, is_terminal
from aetherium.cli.foreground import Collected, Connection, Live, Sink, carry
from aetherium.cli.output import show_facts, show_json, show_lines
from aetherium.cli.session import Session
from aetherium.cli.streams import chunks
from aetherium.model.command import Command, Output

_INDENT = " " * 6


@dataclass(frozen=True, slots=True)
class Report:
    """What the demo shows at the end. Times are from asking for the VM on."""

    vm: str
    driver: str
    isolation: str
    exit_code: int
    tests_passed: int
    created_s: float
    first_output_s: float
    report: str


@dataclass(slots=True)
class Lap:
    """How long something took."""

    s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command of a step ended, and when it first printed something."""

    exit_code: int
    first_output_s: float


class _Timed:
    """Notes when the first output comes, and hands it on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.first: float | None = None

    async def put(self, output: Output) -> None:
        if self.first is None:
            self.first = time.perf_counter()
        await self._sink.put(output)


class Guide:
    """Says what happens. ``quiet`` leaves only the report, as JSON; ``waits`` stops before each step, on a terminal."""

    def __init__(self, *, quiet: bool, waits: bool, total: int) -> None:
        self._quiet = quiet
        self._waits = waits and not quiet and is_terminal(STDIN) and is_terminal(STDOUT)
        self._total = total
        self._number = 0

    async def step(self, words: str, command: str | None = None) -> None:
        """Begin a step: what it is for, and how one would do it by hand."""
        self._number += 1
        if self._quiet:
            return
        if self._waits and self._number > 1:
            show_lines(["", "      -- Enter goes on --"])
            await anext(chunks(STDIN), b"")
        bold, plain = ("\x1b[1m", "\x1b[0m") if has_colours(STDOUT) else ("", "")
        show_lines(["", f"{bold}[{self._number}/{self._total}] {words}{plain}"])
        if command is not None:
            self.say(f"$ {command}")

    def say(self, words: str) -> None:
        """Say what came of it."""
        if not self._quiet:
            show_lines([_INDENT + words])

    @contextmanager
    def clock(self) -> Iterator[Lap]:
        """Measure the body."""
        lap, began = Lap(), time.perf_counter()
        yield lap
        lap.s = time.perf_counter() - began

    async def show(self, here: Session, vm: str, command: Command) -> Ended:
        """Run a command in the VM with its output as it comes."""
        sink = _Timed(Collected() if self._quiet else Live())
        began = time.perf_counter()
        async with here.engine.vms.process(vm, command, stdin=False) as process:
            status = await carry(process, Connection(), sink, here.interrupts)
        return Ended(status.exit_code, (sink.first or time.perf_counter()) - began)

    def finish(self, report: Report) -> None:
        """Show the table."""
        if self._quiet:
            show_json(asdict(report))
            return
        show_lines([""])
        show_facts(
            [
                ("VM", report.vm),
                ("driver", report.driver),
                ("isolation", report.isolation),
                ("exit code", str(report.exit_code)),
                ("tests passed", str(report.tests_passed)),
                ("time to create", f"{report.created_s:.2f} s"),
                ("time to first output", f"{report.first_output_s:.2f} s"),
                ("report", report.report),
            ]
        )


def count_passed(report: str) -> int:
    """Return how many tests a report of Python's unittest says have passed."""
    ran = re.search(r"^Ran (\d+) tests? in", report, re.MULTILINE)
    if ran is None:
        return 0
    others = re.findall(r"[( ](?:failures|errors|skipped)=(\d+)", report[ran.end() :].replace("expected failures=", ""))
    return max(0, int(ran[1]) - sum(map(int, others)))
