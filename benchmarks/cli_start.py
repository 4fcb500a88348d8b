"""How long the command line takes to say anything."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from aetherium import Engine
from benchmarks.figure import Figure, Samples

REPEATS = 25
WARM_UP = 2


async def measure(engine: Engine) -> list[Figure]:
    """Measure ``aetherium --help`` and ``aetherium run -- true`` beside ``python3 -c pass``, start included."""
    aetherium = str(Path(sys.executable).parent / "aetherium")
    with tempfile.TemporaryDirectory() as state:
        contestants = {
            "python3 -c pass": [sys.executable, "-c", "pass"],
            "aetherium --help": [aetherium, "--help"],
            "aetherium run -- true": [aetherium, "--state-dir", state, "run", "--", "true"],
        }
        samples: dict[str, list[float]] = {name: [] for name in contestants}
        for i in range(WARM_UP + REPEATS):
            for name, argv in contestants.items():
                began = time.perf_counter()
                process = await asyncio.create_subprocess_exec(
                    *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
                )
                assert await process.wait() == 0, name
                if i >= WARM_UP:
                    samples[name].append((time.perf_counter() - began) * 1e3)
    taken = {name: Samples(name, "ms", tuple(values), "process start included") for name, values in samples.items()}
    python = taken["python3 -c pass"]
    return [
        Figure(
            "start of the command line",
            taken["aetherium --help"],
            (python,),
            bar="under 2.5 x python3 -c pass + 60 ms",
            limit=2.5 * python.median + 60,
        ),
        Figure("a whole run from the command line", taken["aetherium run -- true"], (python,)),
    ]
