"""The process that the crash checks of the VMM suite start and kill: ``python -m aetherium.testing.vmm_child``.

On stdin comes a pickled ``Errand``. It opens an engine, walks a VM through its life and, where it is told to, ends
itself with SIGKILL. It says on stdout, line by line, how far it is.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from aetherium.core.engine import Engine
from aetherium.core.journal import Step
from aetherium.model.command import Command
from aetherium.model.vm import VMConfig
from aetherium.testing.assembly import Opener, engine_over
from aetherium.testing.watched import WatchedDriver

COUNT = "n=0; while [ $n -lt 2000 ]; do n=$((n+1)); echo $n; done; until [ -e go ]; do sleep 0.01; done; echo end"
"""A command that prints, waits for a file, and prints its last line."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What to do: ``die_at`` is a journal step or ``before METHOD``/``after METHOD`` of the driver; None waits for the
    end of stdin with a VM and a command running."""

    driver: Opener
    store: Opener
    bus: Opener
    state_dir: Path
    store_dir: Path
    vm_id: str
    die_at: str | None


async def run(errand: Errand) -> None:
    """Do it."""

    def passing(point: str) -> None:
        if point == errand.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def step(passed: Step) -> None:
        passing(passed.value)

    async with (
        errand.store(state_dir=errand.store_dir) as store,
        errand.bus(state_dir=errand.store_dir) as bus,
        errand.driver(state_dir=errand.state_dir) as opened,
    ):
        driver = WatchedDriver(opened, set())
        driver.on_call(passing)
        async with engine_over(driver, store, bus, on_step=step) as engine:
            if errand.die_at is None:
                await _leave_running(engine, errand.vm_id)
            else:
                await _walk(engine, driver, errand.vm_id)


async def _leave_running(engine: Engine, vm_id: str) -> None:
    await engine.vms.create(VMConfig(id=vm_id))
    await engine.vms.exec(vm_id, Command.script("echo kept > file"))
    await engine.vms.spawn(vm_id, Command.script(COUNT), key="count")
    _say("running")
    await asyncio.to_thread(sys.stdin.buffer.read)


async def _walk(engine: Engine, driver: WatchedDriver, vm_id: str) -> None:
    vms = engine.vms
    vm = await vms.create(VMConfig(id=vm_id))
    await vms.exec(vm_id, Command.script("echo kept > file"))
    if driver.capabilities.can_pause:
        await vms.pause(vm_id)
        await vms.resume(vm_id)
    await vms.stop(vm_id, grace_s=1)
    await vms.start(vm_id)
    handle = await driver.find(vm)
    assert handle is not None
    await driver.stop(vm, handle)
    await vms.get(vm_id)
    await vms.delete(vm_id)
    _say("done")


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # The length first: pickle alone would have to wait for the end of stdin, which means something else here.
    size = int.from_bytes(sys.stdin.buffer.read(8), "little")
    asyncio.run(run(pickle.loads(sys.stdin.buffer.read(size))))
