"""Stopping every process of a VM by signal, where no control group can freeze it.

A process in the VM can fork, or continue another, until it is stopped itself; so passes are made until one finds nobody
who runs. The first process of a VM obeys a stop only from outside, which is why its state tells whether the VM is
paused.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from aetherium._util.backoff import delays
from aetherium.drivers.vmm.bubblewrap import processes
from aetherium.drivers.vmm.bubblewrap.processes import Process
from aetherium.model.errors import Conflict

_PATIENCE_S = 10.0


async def halt(init: Process) -> None:
    """Stop all. Raises Conflict when they multiply faster than they can be stopped."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _send(init.pid, signal.SIGSTOP)
            for delay in delays(0.0005, 0.02):
                running = [pid for pid in _members(init) if _runs(pid)]
                if not running:
                    return
                for pid in running:
                    _send(pid, signal.SIGSTOP)
                await asyncio.sleep(delay)
    except TimeoutError:
        release(init)
        raise Conflict("the VM makes processes faster than they can be stopped", remedy="stop the VM") from None
    except BaseException:
        release(init)
        raise


def release(init: Process) -> None:
    """Let all run, the first process last: so none sees that its children were stopped."""
    for pid in sorted(_members(init), reverse=True):
        if pid != init.pid:
            _send(pid, signal.SIGCONT)
    _send(init.pid, signal.SIGCONT)


def _members(init: Process) -> list[int]:
    """Return the pids of all processes in the VM."""
    namespace = _namespace(init.pid)
    if namespace is None or processes.find(init) is None:
        return []
    return [pid for pid in processes.pids() if _namespace(pid) == namespace]


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def _runs(pid: int) -> bool:
    # One that waits without interruption, for a child of its that was stopped perhaps, stops before it runs again.
    seen = processes.look(pid)
    return seen is not None and seen.state not in "TtDZXx"


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
