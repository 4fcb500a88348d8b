"""The processes that the suite of durable stores starts: ``python -m aetherium.testing.store_child ACT NAME COUNT``,
with the pickled opener on stdin.

``open``: say ``ready`` on stdout, wait for a line, open, say so, close. ``count``: add 1 to label ``n`` of VM NAME,
COUNT times, by compare and swap. ``count-locked``: the same, each under lock NAME and never expecting a conflict.
``hold``: take lock NAME, say so, wait for the end of stdin. ``insert``: insert VMs NAME-0, NAME-1, ..., COUNT of them,
and say each when it is there.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import TypeAlias

from aetherium.model.errors import Conflict
from aetherium.ports.store import StateStore, VMRecord

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[StateStore]]


async def count(store: StateStore, name: str, times: int, *, locked: bool = False) -> None:
    """Add 1 to label ``n`` so many times, with whoever else does."""
    done = 0
    while done < times:
        async with store.lock(name, timeout_s=50) if locked else nullcontext():
            record = await store.get_vm(name)
            labels = {**record.vm.labels, "n": str(int(record.vm.labels["n"]) + 1)}
            try:
                await store.update_vm(replace(record, vm=replace(record.vm, labels=labels)))
            except Conflict:
                if locked:
                    raise
                continue
        done += 1


async def _main(opener: Opener, act: str, name: str, times: int) -> None:
    if act == "open":
        _say("ready")
        sys.stdin.buffer.readline()
    async with opener() as store:
        if act in ("count", "count-locked"):
            await count(store, name, times, locked=act == "count-locked")
        elif act == "hold":
            async with store.lock(name, timeout_s=0):
                _say("held")
                await asyncio.to_thread(sys.stdin.buffer.read)
        elif act == "insert":
            template = await store.get_vm(name)
            for number in range(times):
                await store.insert_vm(VMRecord(vm=replace(template.vm, id=f"{name}-{number}", name=None)))
                _say(str(number))
        else:
            _say("open")


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    opener = pickle.load(sys.stdin.buffer)
    asyncio.run(_main(opener, sys.argv[1], sys.argv[2], int(sys.argv[3])))
