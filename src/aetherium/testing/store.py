"""What every state store does. A provider's test file subclasses ``StoreConformance`` and gives it ``opener``; see
``store_durable`` for stores that outlive their process. Needs pytest-asyncio in auto mode, and Hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from aetherium.model.errors import AlreadyExists, Conflict, DeadlineExceeded, InvalidArgument, NotFound
from aetherium.model.vm import VMState
from aetherium.ports.store import Pending, StateStore, VMFilter, VMRecord
from aetherium.ports.vmm import Handle
from aetherium.testing import values
from aetherium.testing.store_child import Opener, count
from aetherium.testing.values import vm


def record(vm_id: str, *, key: str | None = None, name: str | None = None, after_s: float = 0) -> VMRecord:
    """Return a plain record."""
    return VMRecord(vm=vm(vm_id, name=name, after_s=after_s), key=key)


async def all_ids(store: StateStore, where: VMFilter = VMFilter(), *, limit: int = 1000) -> list[str]:
    """Return the ids of all VMs, page by page."""
    found: list[str] = []
    after = None
    while True:
        page = await store.list_vms(where, limit=limit, after=after)
        assert len(page.items) <= limit
        found += [item.vm.id for item in page.items]
        after = page.next
        if after is None:
            return found


class StoreConformance:
    """The suite."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens the store, empty at the start of each test."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, opener: Opener) -> AsyncIterator[StateStore]:
        """Open the store."""
        async with opener() as store:
            yield store

    # What is written is read

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(values.records)
    async def test_every_field_comes_back(self, store: StateStore, written: VMRecord) -> None:
        """By id, by name, by key, in a list; and after an update."""
        try:
            inserted = await store.insert_vm(written)
            assert inserted == replace(written, revision=1)
            assert await store.get_vm(written.vm.id) == inserted
            assert await store.get_vm(written.vm.name or written.vm.id) == inserted
            assert (await store.list_vms()).items == (inserted,)
            if written.key is not None:
                assert await store.find_vm_by_key(written.key) == inserted
            labels = VMFilter(labels=written.vm.labels, states=frozenset({written.vm.state}), driver=written.vm.driver)
            assert (await store.list_vms(labels)).items == (inserted,)
            updated = await store.update_vm(inserted)
            assert updated == replace(written, revision=2)
            assert await store.get_vm(written.vm.id) == updated
        finally:
            await store.delete_vm(written.vm.id)

    async def test_every_part_of_a_record_can_be_set_and_cleared(self, store: StateStore) -> None:
        bare = await store.insert_vm(record("a"))
        full = replace(
            bare, handle=Handle(3, "x\0y"), pending=Pending("start", "spawn", "12:34"), key="key", owner="1:2"
        )
        written = await store.update_vm(full)
        assert written == replace(full, revision=2)
        assert await store.get_vm("a") == written
        cleared = await store.update_vm(replace(written, handle=None, pending=None, key=None, owner=None))
        assert cleared == replace(bare, revision=3)
        assert await store.get_vm("a") == cleared
        assert await store.find_vm_by_key("key") is None

    async def test_the_revision_given_to_insert_does_not_count(self, store: StateStore) -> None:
        assert (await store.insert_vm(replace(record("a"), revision=7))).revision == 1
        assert (await store.get_vm("a")).revision == 1

    async def test_what_the_caller_changes_afterwards_is_not_stored(self, store: StateStore) -> None:
        env = {"A": "1"}
        given_record = replace(record("a"), vm=replace(vm("a"), env=env))
        await store.insert_vm(given_record)
        env["A"] = "2"
        got = await store.get_vm("a")
        assert got.vm.env == {"A": "1"}
        assert isinstance(got.vm.env, dict)
        got.vm.env["A"] = "3"
        assert (await store.get_vm("a")).vm.env == {"A": "1"}

    async def test_what_is_not_there_is_not_found(self, store: StateStore) -> None:
        await store.insert_vm(record("a", name="n", key="k"))
        for unknown in ("b", "", "A", "k", "a ", "%", "*", "\0", "\udcff", "x" * 10_000):
            with pytest.raises(NotFound):
                await store.get_vm(unknown)
            assert await store.find_vm_by_key(unknown) is None or unknown == "k"
            await store.delete_vm(unknown)
        assert await all_ids(store) == ["a"]

    # One name space

    async def test_ids_and_names_share_one_name_space(self, store: StateStore) -> None:
        await store.insert_vm(record("a", name="alpha"))
        for taken in (
            record("a"),
            record("a", name="other"),
            record("alpha"),
            record("b", name="alpha"),
            record("b", name="a"),
        ):
            with pytest.raises(AlreadyExists):
                await store.insert_vm(taken)
        assert await all_ids(store) == ["a"]
        assert (await store.get_vm("alpha")).vm.id == "a"

    async def test_a_vm_may_be_named_as_its_id(self, store: StateStore) -> None:
        inserted = await store.insert_vm(record("a", name="a"))
        assert await store.update_vm(inserted) == await store.get_vm("a")
        with pytest.raises(AlreadyExists):
            await store.insert_vm(record("a"))

    async def test_vms_without_a_name_or_key_do_not_clash(self, store: StateStore) -> None:
        for vm_id in ("a", "b"):
            await store.insert_vm(record(vm_id))
        assert await all_ids(store) == ["a", "b"]

    async def test_a_rename_obeys_the_name_space(self, store: StateStore) -> None:
        await store.insert_vm(record("a", name="alpha"))
        b = await store.insert_vm(record("b", name="beta"))
        for taken in ("a", "alpha"):
            with pytest.raises(AlreadyExists):
                await store.update_vm(replace(b, vm=replace(b.vm, name=taken)))
        assert await store.get_vm("beta") == b
        renamed = await store.update_vm(replace(b, vm=replace(b.vm, name="gamma")))
        assert await store.get_vm("gamma") == renamed
        with pytest.raises(NotFound):
            await store.get_vm("beta")
        await store.insert_vm(record("beta"))

    async def test_a_key_creates_once(self, store: StateStore) -> None:
        first = await store.insert_vm(record("a", key="k"))
        with pytest.raises(AlreadyExists):
            await store.insert_vm(record("b", key="k"))
        assert await store.find_vm_by_key("k") == first
        assert await store.find_vm_by_key("K") is None
        b = await store.insert_vm(record("b"))
        with pytest.raises(AlreadyExists):
            await store.update_vm(replace(b, key="k"))
        assert await store.get_vm("b") == b

    async def test_delete_is_repeatable_and_frees_id_name_and_key(self, store: StateStore) -> None:
        first = await store.insert_vm(record("a", name="alpha", key="k"))
        await store.delete_vm("a")
        await store.delete_vm("a")
        for gone in ("a", "alpha"):
            with pytest.raises(NotFound):
                await store.get_vm(gone)
        assert await store.find_vm_by_key("k") is None
        assert await all_ids(store) == []
        with pytest.raises(NotFound):
            await store.update_vm(first)
        assert await store.insert_vm(record("alpha", name="a", key="k")) == await store.get_vm("a")

    async def test_delete_takes_an_id_not_a_name(self, store: StateStore) -> None:
        await store.insert_vm(record("a", name="alpha"))
        await store.delete_vm("alpha")
        assert await all_ids(store) == ["a"]

    # Compare and swap

    async def test_a_write_names_the_revision_it_read(self, store: StateStore) -> None:
        first = await store.insert_vm(record("a"))
        second = await store.update_vm(replace(first, owner="1"))
        for stale in (first, replace(second, revision=3), replace(second, revision=0)):
            with pytest.raises(Conflict):
                await store.update_vm(replace(stale, owner="lost"))
        assert await store.get_vm("a") == second == replace(first, owner="1", revision=2)

    async def test_update_of_an_unknown_vm_is_not_found(self, store: StateStore) -> None:
        await store.insert_vm(record("a", name="alpha"))
        with pytest.raises(NotFound):
            await store.update_vm(replace(record("alpha"), revision=1))

    async def test_of_tasks_that_write_at_once_one_wins(self, store: StateStore) -> None:
        read = await store.insert_vm(record("a"))
        writes = [store.update_vm(replace(read, owner=str(number))) for number in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
        won = [result for result in results if isinstance(result, VMRecord)]
        assert len(won) == 1
        assert all(isinstance(result, Conflict) for result in results if result is not won[0])
        assert await store.get_vm("a") == won[0]

    async def test_of_tasks_that_insert_at_once_one_wins(self, store: StateStore) -> None:
        inserts = [store.insert_vm(record(f"vm-{number}", name="same")) for number in range(20)]
        results = await asyncio.gather(*inserts, return_exceptions=True)
        assert sum(isinstance(result, VMRecord) for result in results) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == 19
        assert len(await all_ids(store)) == 1

    async def test_tasks_lose_no_write(self, store: StateStore) -> None:
        await store.insert_vm(VMRecord(vm=vm("a", n="0")))
        await asyncio.gather(*(count(store, "a", 20) for _ in range(5)))
        got = await store.get_vm("a")
        assert (got.vm.labels["n"], got.revision) == ("100", 101)

    # Listing

    async def test_vms_come_in_order_of_creation_then_id(self, store: StateStore) -> None:
        for vm_id, after_s in (("c", 0), ("b", 0.000001), ("a", 5), ("d", 0), ("e", -1)):
            await store.insert_vm(record(vm_id, after_s=after_s))
        for limit in (1, 2, 4, 5, 6):
            assert await all_ids(store, limit=limit) == ["e", "c", "d", "b", "a"]

    async def test_the_last_page_has_no_next(self, store: StateStore) -> None:
        assert (await store.list_vms()).next is None
        for vm_id in ("a", "b"):
            await store.insert_vm(record(vm_id))
        assert (await store.list_vms(limit=2)).next is None
        page = await store.list_vms(limit=1)
        assert page.next is not None
        assert (await store.list_vms(limit=1, after=page.next)).next is None

    async def test_pages_are_stable_while_vms_come_and_go(self, store: StateStore) -> None:
        for number in range(9):
            await store.insert_vm(record(f"vm-{number}", after_s=number))
        page = await store.list_vms(limit=3)
        seen = [item.vm.id for item in page.items]
        await store.insert_vm(record("before", after_s=0.5))
        await store.insert_vm(record("behind", after_s=4.5))
        await store.delete_vm("vm-2")  # the very one the cursor stands on
        await store.delete_vm("vm-7")
        moved = await store.get_vm("vm-4")
        await store.update_vm(replace(moved, vm=replace(moved.vm, state=VMState.STOPPED)))
        while page.next is not None:
            page = await store.list_vms(limit=3, after=page.next)
            seen += [item.vm.id for item in page.items]
        assert seen == ["vm-0", "vm-1", "vm-2", "vm-3", "vm-4", "behind", "vm-5", "vm-6", "vm-8"]

    async def test_only_a_page_says_where_the_next_begins(self, store: StateStore) -> None:
        for vm_id in ("a", "b", "c"):
            await store.insert_vm(record(vm_id))
        after = (await store.list_vms(limit=1)).next
        assert after is not None
        for wrong in ("", "a", "ö", after + "=", after[:-4], after[1:], "W10=", "WzEsMl0=", "\udcff"):
            with pytest.raises(InvalidArgument):
                await store.list_vms(after=wrong)

    async def test_a_page_has_room_for_one(self, store: StateStore) -> None:
        for limit in (0, -1):
            with pytest.raises(InvalidArgument):
                await store.list_vms(limit=limit)

    async def test_filters(self, store: StateStore) -> None:
        for each in (
            vm("a", team="x", tier="1"),
            vm("b", after_s=1, team="x", tier="2", state=VMState.STOPPED),
            vm("c", after_s=2, team="X", driver="other"),
            vm("d", after_s=3, state=VMState.FAILED, driver="other"),
        ):
            await store.insert_vm(VMRecord(vm=each))
        running, stopped, failed = VMState.RUNNING, VMState.STOPPED, VMState.FAILED
        for where, expected in (
            (VMFilter(), ["a", "b", "c", "d"]),
            (VMFilter(states=frozenset({running})), ["a", "c"]),
            (VMFilter(states=frozenset({stopped, failed})), ["b", "d"]),
            (VMFilter(states=frozenset({VMState.PAUSED})), []),
            (VMFilter(driver="other"), ["c", "d"]),
            (VMFilter(driver="none"), []),
            (VMFilter(labels={"team": "x"}), ["a", "b"]),
            (VMFilter(labels={"team": "x", "tier": "2"}), ["b"]),
            (VMFilter(labels={"team": "x", "tier": "3"}), []),
            (VMFilter(labels={"team": ""}), []),
            (VMFilter(labels={"Team": "x"}), []),
            (VMFilter(labels={"team": "x"}, states=frozenset({running, failed}), driver="memory"), ["a"]),
        ):
            assert await all_ids(store, where) == expected, where
            assert await all_ids(store, where, limit=1) == expected, where

    async def test_filters_see_what_is_now(self, store: StateStore) -> None:
        first = await store.insert_vm(VMRecord(vm=vm("a", team="x", old="1")))
        changed = replace(first.vm, state=VMState.STOPPED, labels={"team": "y", "new": "1"})
        second = await store.update_vm(replace(first, vm=changed))
        for labels, there in (({"team": "y", "new": "1"}, True), ({"team": "x"}, False), ({"old": "1"}, False)):
            assert await all_ids(store, VMFilter(labels=labels)) == ["a"] * there
        assert await all_ids(store, VMFilter(states=frozenset({VMState.RUNNING}))) == []
        await store.delete_vm("a")
        await store.insert_vm(record("a"))
        assert await all_ids(store, VMFilter(labels=second.vm.labels)) == []

    async def test_labels_of_any_text_are_told_apart(self, store: StateStore) -> None:
        labels = [{"a": "\0"}, {"a": "\0b"}, {"a": ""}, {'"a': "1"}, {"a": '","'}, {"a": "\udcff"}, {"a": "é"}]
        for number, each in enumerate(labels):
            await store.insert_vm(VMRecord(vm=replace(vm(f"vm-{number}"), labels=each)))
        for number, each in enumerate(labels):
            assert await all_ids(store, VMFilter(labels=each)) == [f"vm-{number}"]

    # Locks

    async def test_a_lock_is_held_by_one(self, store: StateStore) -> None:
        inside, most = 0, 0

        async def work() -> None:
            nonlocal inside, most
            async with store.lock("x", timeout_s=30):
                inside += 1
                most = max(most, inside)
                for _ in range(3):
                    await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(20)))
        assert (inside, most) == (0, 1)

    async def test_a_lock_that_stays_taken_ends_in_a_deadline(self, store: StateStore) -> None:
        async with store.lock("x", timeout_s=0):
            for timeout_s in (0, 0.05):
                with pytest.raises(DeadlineExceeded) as caught:
                    async with store.lock("x", timeout_s=timeout_s):
                        raise AssertionError("two hold the lock")
                assert "x" in caught.value.message
                assert caught.value.remedy
        async with store.lock("x", timeout_s=0):
            pass

    async def test_locks_of_other_names_are_other_locks(self, store: StateStore) -> None:
        names = ["x", "X", "x.lock", "a/b", "a%2Fb", "..", ".", "a b", "\udcff", "ÿ", "y" * 64]
        async with AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(store.lock(name, timeout_s=0))

    async def test_a_lock_is_freed_when_its_work_fails_or_is_cancelled(self, store: StateStore) -> None:
        with pytest.raises(ZeroDivisionError):
            async with store.lock("x", timeout_s=0):
                raise ZeroDivisionError
        held = asyncio.Event()

        async def hold() -> None:
            async with store.lock("x", timeout_s=0):
                held.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await held.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with store.lock("x", timeout_s=0):
            pass

    async def test_waiting_for_a_lock_can_be_cancelled(self, store: StateStore) -> None:
        async def wait() -> None:
            async with store.lock("x", timeout_s=60):
                raise AssertionError("two hold the lock")

        async with store.lock("x", timeout_s=0):
            tasks = [asyncio.create_task(wait()) for _ in range(3)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        async with store.lock("x", timeout_s=0):
            pass

    async def test_a_waiter_gets_the_lock_when_it_is_freed(self, store: StateStore) -> None:
        got = asyncio.Event()

        async def wait() -> None:
            async with store.lock("x", timeout_s=30):
                got.set()

        async with store.lock("x", timeout_s=0):
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            assert not got.is_set()
        await task
        assert got.is_set()

    # Cancellation

    async def test_a_cancelled_call_leaves_the_store_usable(self, store: StateStore) -> None:
        await store.insert_vm(VMRecord(vm=vm("a", n="0")))
        for number in range(30):
            task = asyncio.create_task(store.insert_vm(record(f"vm-{number}")))
            for _ in range(number % 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await count(store, "a", 1)
        assert (await store.get_vm("a")).vm.labels["n"] == "30"
        there = await all_ids(store)
        assert sorted(there) == sorted(set(there))
