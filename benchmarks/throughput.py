"""1 GiB of standard output through a stream: how fast, and what the engine's memory does meanwhile."""

from __future__ import annotations

import asyncio
import time

from aetherium import Command, Engine, Output, VMConfig
from benchmarks.figure import Figure, Samples

SIZE = 1024 * 1024 * 1024
REPEATS = 3
COMMAND = ("head", "-c", str(SIZE), "/dev/zero")


async def measure(engine: Engine) -> list[Figure]:
    """Measure throughput beside a plain pipe, and the growth of this process's resident memory."""
    vm = await engine.vms.create(VMConfig())
    ours: list[float] = []
    plain: list[float] = []
    growth: list[float] = []
    try:
        async for _ in engine.vms.stream(vm.id, Command(COMMAND[0], ["-c", "1048576", "/dev/zero"])):
            pass  # buffers that are made once do not count
        for _ in range(REPEATS):
            began = time.perf_counter()
            await _plain()
            plain.append(SIZE / 2**20 / (time.perf_counter() - began))
            before = _resident_mib(peak=False)
            _reset_peak()
            began = time.perf_counter()
            seen = 0
            async for item in engine.vms.stream(vm.id, Command(COMMAND[0], COMMAND[1:])):
                if isinstance(item, Output):
                    seen += len(item.data)
            ours.append(SIZE / 2**20 / (time.perf_counter() - began))
            assert seen == SIZE, seen
            growth.append(max(0.0, _resident_mib(peak=True) - before))
    finally:
        await engine.vms.delete(vm.id)
    return [
        Figure(
            "memory growth during 1 GiB of stdout",
            Samples("engine process, peak resident", "MiB", tuple(growth)),
            bar="less than 32 MiB",
            limit=32,
        ),
        Figure(
            "throughput of 1 GiB of stdout",
            Samples("engine.vms.stream", "MiB/s", tuple(ours)),
            (Samples("asyncio pipe on the host", "MiB/s", tuple(plain)),),
        ),
    ]


async def _plain() -> None:
    process = await asyncio.create_subprocess_exec(*COMMAND, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass
    await process.wait()


def _resident_mib(*, peak: bool) -> float:
    name = "VmHWM:" if peak else "VmRSS:"
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
