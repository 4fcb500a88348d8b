"""A measured figure: raw samples, a rival's beside them, and the bar it has to meet."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured of one contestant, in ``unit``; ``includes`` says what a sample spans."""

    name: str
    unit: str
    values: tuple[float, ...]
    includes: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The value that 99 of 100 samples do not exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison. ``limit`` is what ours may be at most, as a number in our unit, worked out from the rivals of the
    same run; None where nothing is asked."""

    name: str
    ours: Samples
    rivals: tuple[Samples, ...] = ()
    bar: str = ""
    limit: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def meets_bar(self) -> bool | None:
        """Whether our median is within the limit; None without one."""
        return None if self.limit is None else self.ours.median <= self.limit
