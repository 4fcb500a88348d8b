"""One command in a warm VM, beside a plain subprocess of the same program on the host."""

from __future__ import annotations

import asyncio
import shutil
import time

from aetherium import Command, Engine, VMConfig
from benchmarks.figure import Figure, Samples

REPEATS = 400
WARM_UP = 30


async def measure(engine: Engine) -> list[Figure]:
    """Measure exec of ``true`` and a ping, contestants in turn."""
    true = shutil.which("true") or "/bin/true"
    vm = await engine.vms.create(VMConfig())
    link_times: list[float] = []
    ours: list[float] = []
    plain: list[float] = []
    try:
        for i in range(WARM_UP + REPEATS):
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                true, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            await process.communicate()
            between = time.perf_counter()
            result = await engine.vms.exec(vm.id, Command(true))
            ended = time.perf_counter()
            health = await engine.vms.health(vm.id) if i % 10 == 0 else None
            assert result.exit_code == 0, result
            if i >= WARM_UP:
                plain.append((between - began) * 1e3)
                ours.append((ended - between) * 1e3)
                if health is not None and health.round_trip_s is not None:
                    link_times.append(health.round_trip_s * 1e3)
    finally:
        await engine.vms.delete(vm.id)
    rival = Samples("asyncio subprocess on the host", "ms", tuple(plain), "start to collected output")
    return [
        Figure(
            "exec of true in a warm VM",
            Samples("engine.vms.exec", "ms", tuple(ours), "call to result"),
            (rival,),
            bar="no slower than asyncio's own subprocess",
            limit=rival.median,
        ),
        Figure("ping of the agent", Samples("PING to PONG", "ms", tuple(link_times))),
    ]
