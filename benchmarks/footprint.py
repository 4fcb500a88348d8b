"""What an idle VM costs the host."""

from __future__ import annotations

from pathlib import Path

from aetherium import Command, Engine, VMConfig
from benchmarks.figure import Figure, Samples

VMS = 20


async def measure(engine: Engine) -> list[Figure]:
    """Measure the proportional memory of everything that idle VMs keep running."""
    before = _processes()
    vms = [await engine.vms.create(VMConfig()) for _ in range(VMS)]
    try:
        for vm in vms:
            await engine.vms.exec(vm.id, Command("true"))
        own = _processes() - before
        total_kib = sum(_pss_kib(pid) for pid in own)
    finally:
        for vm in vms:
            await engine.vms.delete(vm.id)
    return [
        Figure(
            "memory of an idle VM (PSS, agent and helpers)",
            Samples("mean of 20", "MiB", (total_kib / 1024 / VMS,)),
            bar="at most 2 MiB",
            limit=2,
            notes=(f"{len(own) / VMS:g} processes a VM",),
        )
    ]


def _processes() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _pss_kib(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
