"""A process that starts a VM and dies: ``python -m tests.integration.bubblewrap.child STATE_DIR VM_ID MOMENT``.

``MOMENT`` is the function in ``launch`` before or after which it kills itself, or ``end`` to close in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aetherium.drivers.vmm.bubblewrap import launch
from tests.integration.bubblewrap.bench import new_vm, openers


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_before(function: Callable[..., Any]) -> Callable[..., Any]:
    def replacement(*args: Any) -> Any:
        die()

    return replacement


def dying_after(function: Callable[..., Any]) -> Callable[..., Any]:
    async def replacement(*args: Any) -> Any:
        await function(*args)
        die()

    return replacement


async def main(state_dir: Path, vm_id: str, moment: str) -> None:
    when, _, name = moment.partition("-")
    if name:
        wrap = {"before": dying_before, "after": dying_after}[when]
        setattr(launch, name, wrap(getattr(launch, name)))
    async with openers().driver(state_dir=state_dir) as driver:
        vm = new_vm(vm_id)
        await driver.create(vm)
        started = await driver.start(vm)
        print(started.handle.data)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
