"""Facts, in the past tense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``type`` is dotted (``vm.started``) and is also the topic; ``subject`` is an id."""

    id: str
    type: str
    subject: str
    at: datetime
    data: Mapping[str, Scalar] = field(default_factory=dict)
    seq: int = 0
