"""What a state store does that outlives its process and is shared by several.

A provider's test file subclasses ``DurableStoreConformance``; its ``opener`` opens the same state each time and can be
pickled (a partial of a module's function), so that other processes open it too.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from aetherium.model.errors import AlreadyExists, Conflict, DeadlineExceeded
from aetherium.ports.store import Pending, VMFilter, VMRecord
from aetherium.ports.vmm import Handle
from aetherium.testing.store import StoreConformance, all_ids, record
from aetherium.testing.store_child import Opener, count
from aetherium.testing.values import vm


class DurableStoreConformance(StoreConformance):
    """The suite of ``StoreConformance``, and more."""

    async def test_closing_and_opening_keeps_everything(self, opener: Opener) -> None:
        async with opener() as store:
            full = replace(
                record("a", name="alpha", key="k"),
                handle=Handle(1, "h"),
                pending=Pending("stop", "ask", "1:2"),
                owner="3:4",
            )
            first = await store.update_vm(await store.insert_vm(full))
            second = await store.insert_vm(VMRecord(vm=vm("b", after_s=1, team="x")))
        async with opener() as store:
            assert (await store.list_vms()).items == (first, second)
            assert await store.find_vm_by_key("k") == first
            assert await all_ids(store, VMFilter(labels={"team": "x"})) == ["b"]
            with pytest.raises(AlreadyExists):
                await store.insert_vm(record("alpha"))
            assert (await store.update_vm(second)).revision == 2

    async def test_what_one_writes_another_reads_at_once(self, opener: Opener) -> None:
        async with opener() as one, opener() as other:
            first = await one.insert_vm(record("a"))
            assert await other.get_vm("a") == first
            second = await other.update_vm(first)
            assert await one.get_vm("a") == second
            with pytest.raises(Conflict):
                await one.update_vm(first)
            await one.delete_vm("a")
            assert await all_ids(other) == []

    async def test_locks_hold_between_openings(self, opener: Opener) -> None:
        async with opener() as one, opener() as other:
            async with one.lock("x", timeout_s=0):
                with pytest.raises(DeadlineExceeded):
                    async with other.lock("x", timeout_s=0):
                        raise AssertionError("two hold the lock")
            async with other.lock("x", timeout_s=0):
                pass

    async def test_processes_that_open_a_new_store_at_once_all_get_it(self, opener: Opener) -> None:
        async with AsyncExitStack() as stack:
            children = [await stack.enter_async_context(child(opener, "open")) for _ in range(6)]
            assert [await read_word(process) for process in children] == ["ready"] * 6
            for process in children:
                assert process.stdin is not None
                process.stdin.write(b"\n")
            for process in children:
                assert (await read_word(process), await process.wait()) == ("open", 0)
        async with opener() as store:
            assert await all_ids(store) == []

    @pytest.mark.parametrize("act", ["count", "count-locked"])
    async def test_processes_lose_no_write(self, opener: Opener, act: str) -> None:
        async with opener() as store, AsyncExitStack() as stack:
            await store.insert_vm(VMRecord(vm=vm("a", n="0")))
            children = [await stack.enter_async_context(child(opener, act, "a", 40)) for _ in range(3)]
            await count(store, "a", 40, locked=act == "count-locked")
            assert [await process.wait() for process in children] == [0, 0, 0]
            got = await store.get_vm("a")
            assert (got.vm.labels["n"], got.revision) == ("160", 161)

    async def test_a_lock_is_freed_when_its_holder_dies(self, opener: Opener) -> None:
        async with opener() as store, child(opener, "hold", "x") as process:
            assert await read_word(process) == "held"
            with pytest.raises(DeadlineExceeded) as caught:
                async with store.lock("x", timeout_s=0):
                    raise AssertionError("two hold the lock")
            assert caught.value.remedy
            process.send_signal(signal.SIGKILL)
            async with store.lock("x", timeout_s=30):
                pass

    async def test_a_waiter_gets_the_lock_of_a_holder_that_dies(self, opener: Opener) -> None:
        async with opener() as store, child(opener, "hold", "x") as process:
            assert await read_word(process) == "held"

            async def wait() -> None:
                async with store.lock("x", timeout_s=30):
                    assert process.returncode is None or process.returncode == -signal.SIGKILL

            tasks = [asyncio.create_task(wait()) for _ in range(3)]
            await asyncio.sleep(0)
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*tasks)

    async def test_a_process_that_is_killed_amid_its_writes_harms_nothing(self, opener: Opener) -> None:
        async with opener() as store:
            await store.insert_vm(record("base"))
            for round_ in range(3):
                async with child(opener, "insert", "base", 100_000) as process:
                    last = -1
                    while last < 5 + round_ * 7:
                        last = int(await read_word(process))
                    process.send_signal(signal.SIGKILL)
                    rest = await read_rest(process)
                last = int(rest[-1]) if rest else last
                there = await all_ids(store)
                # All it said, in the order it said; perhaps the one it could no longer say.
                numbers = sorted(int(vm_id.partition("-")[2]) for vm_id in there if vm_id != "base")
                assert numbers == list(range(len(numbers)))
                assert len(numbers) in (last + 1, last + 2)
                for number in numbers:
                    await store.delete_vm(f"base-{number}")


@asynccontextmanager
async def child(opener: Opener, act: str, name: str = "-", times: int = 0) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``store_child`` in a process of its own, whose end this waits for."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "aetherium.testing.store_child", act, name, str(times),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        process.stdin.write(pickle.dumps(opener))
        yield process
    finally:
        process.stdin.close()
        if process.returncode is None and act != "hold":
            process.kill()
        await process.wait()


async def read_word(process: asyncio.subprocess.Process) -> str:
    """Return the next line of a child."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line.endswith(b"\n"), f"the child said {line!r} and ended"
    return line.decode().strip()


async def read_rest(process: asyncio.subprocess.Process) -> list[str]:
    """Return the whole lines that a child still says."""
    assert process.stdout is not None
    text = (await process.stdout.read()).decode()
    return text[: text.rfind("\n") + 1].split()
