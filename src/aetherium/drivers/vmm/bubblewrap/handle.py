"""What is written down about a running VM, so that any later process finds it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from aetherium.drivers.vmm.bubblewrap.processes import Process
from aetherium.model.errors import Internal
from aetherium.ports.vmm import Handle

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A running VM. ``init`` is its first process, ``monitor`` the ``bwrap`` that waits for it outside.

    ``cgroups`` are the directories that hold it to its limits, one per hierarchy.
    """

    boot: str
    init: Process
    monitor: Process | None = None
    cgroups: tuple[str, ...] = ()

    def handle(self) -> Handle:
        """Return this as the text that the engine keeps."""
        return Handle(VERSION, json.dumps(asdict(self), separators=(",", ":")))


def machine(handle: Handle) -> Machine:
    """Read what ``Machine.handle`` wrote. Raises Internal on anything else."""
    if handle.version != VERSION:
        raise Internal(f"handle of version {handle.version}; this driver knows {VERSION}")
    try:
        data = json.loads(handle.data)
        monitor = data["monitor"]
        return Machine(
            boot=_text(data["boot"]),
            init=_process(data["init"]),
            monitor=None if monitor is None else _process(monitor),
            cgroups=tuple(_text(path) for path in data["cgroups"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Internal(f"a bubblewrap handle cannot be read: {error!r}") from error


def _process(data: object) -> Process:
    if not isinstance(data, dict) or set(data) != {"pid", "started"}:
        raise ValueError("not a process")
    pid, started = data["pid"], data["started"]
    if type(pid) is not int or type(started) is not int or not 0 < pid < 2**31 or not 0 <= started < 2**63:
        raise ValueError("not a process")
    return Process(pid, started)


def _text(data: object) -> str:
    if not isinstance(data, str) or "\0" in data:
        raise ValueError("not text")
    return data
