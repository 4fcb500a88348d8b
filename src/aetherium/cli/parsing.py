"""The words that options take: ``512m``, ``90s``, ``SRC:DST``, ``K=V``. Raises ValueError that says what to write."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aetherium.model.vm import Mount

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt])(?:i?b)?", re.IGNORECASE)
_BYTES = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_MIB = 1024**2
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def size_mib(text: str) -> int:
    """Read a size with a unit (``512m``, ``2g``, ``1.5GiB``) as MiB, rounded up."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number with a unit, such as 512m or 2g")
    count = float(match[1]) * _BYTES[match[2].lower()]
    return -int(-count // _MIB)


def duration_s(text: str) -> float:
    """Read a duration (``90``, ``90s``, ``5m``, ``1h30m``) as seconds."""
    text = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration: write seconds, or 90s, 5m, 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def variables(items: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``K=V`` items; a bare ``K`` takes its value from ``environ`` and is left out when it is not set there."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not name:
            raise ValueError(f"{item!r} is not a variable: write NAME=VALUE, or NAME to pass on your own")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def labels(items: Iterable[str]) -> dict[str, str]:
    """Read ``K=V`` items; a bare ``K`` has the empty value."""
    found: dict[str, str] = {}
    for item in items:
        name, _, value = item.partition("=")
        if not name:
            raise ValueError(f"{item!r} is not a label: write NAME=VALUE")
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class CopySpec:
    """What to copy into a VM, and where to."""

    source: str
    target: str


def copy(text: str) -> CopySpec:
    """Read ``SRC:DST``. A colon in SRC is fine, one in DST is not."""
    source, _, target = text.rpartition(":")
    if not source or not target:
        raise ValueError(f"{text!r} is not a copy: write SRC:DST, a path here and a path in the VM")
    return CopySpec(source, target)


def mount(text: str) -> Mount:
    """Read ``SRC:DST[:ro|:rw]``; a relative SRC starts from the present directory."""
    body, _, last = text.rpartition(":")
    mode = last if last in ("ro", "rw") and ":" in body else None
    source, _, target = (body if mode else text).rpartition(":")
    if not source or not target:
        raise ValueError(f"{text!r} is not a mount: write SRC:DST or SRC:DST:ro")
    if not target.startswith("/"):
        raise ValueError(f"{text!r}: the path in the VM must be absolute")
    resolved = Path(source).expanduser().absolute()
    if not resolved.exists():
        raise ValueError(f"{text!r}: there is no {resolved} here to mount")
    return Mount(os.path.normpath(resolved), target, read_only=mode == "ro")


def signal_number(text: str) -> int:
    """Read ``9``, ``KILL`` or ``SIGKILL``."""
    name = text.strip().upper()
    if name.isdigit():
        number = int(name)
        if 1 <= number <= 64:
            return number
    else:
        named = name if name.startswith("SIG") else f"SIG{name}"
        if named in signal.Signals.__members__:
            return int(signal.Signals[named])
    raise ValueError(f"{text!r} is not a signal: write a name such as TERM, or a number from 1 to 64")


@dataclass(frozen=True, slots=True)
class Place:
    """One side of ``vm cp``: a path in a VM, a path here (``vm`` None), or ``-``."""

    vm: str | None
    path: str


def place(text: str) -> Place:
    """Read ``VM:PATH``, a path of this host, or ``-``. A host path with a colon is written ``./a:b``."""
    vm, colon, path = text.partition(":")
    if not colon or "/" in vm or vm.startswith("."):
        return Place(None, text)
    if not vm:
        raise ValueError(f"{text!r} names no VM: write VM:PATH")
    return Place(vm, path or ".")
