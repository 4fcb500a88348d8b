"""What a test may set: failures on demand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """How a call fails."""

    ERROR = "error"
    """Raise the error whose code is ``error``."""
    HANG = "hang"
    """Do not return until cancelled."""
    SLOW = "slow"
    """Take ``delay_s`` longer."""
    DIE = "die"
    """End the machine when the call is done, and return as if nothing had happened."""
    DROP = "drop"
    """Close the connection that ``connect`` made, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure of a driver's method at its ``call``-th call (from 1; 0: at each).

    It happens before the method has done anything or, with ``after``, when it has done everything.
    """

    method: str
    kind: FaultKind = FaultKind.ERROR
    call: int = 1
    after: bool = False
    error: str = "driver_unavailable"
    delay_s: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the ``memory`` driver."""

    faults: tuple[Fault, ...] = ()
    """Failures on demand."""
