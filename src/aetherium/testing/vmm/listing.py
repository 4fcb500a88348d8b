"""Many VMs: names, labels, pages, keys."""

from __future__ import annotations

import asyncio

import pytest

from aetherium.core.engine import Engine
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import VMConfig, VMState
from aetherium.testing.vmm.bench import Bench
from aetherium.testing.watched import WatchedDriver


class ListingChecks(Bench):
    """Finding VMs again."""

    async def test_filters(self, engine: Engine, driver: WatchedDriver) -> None:
        red = await engine.vms.create(VMConfig(labels={"colour": "red", "size": "1"}), start=False)
        blue = await engine.vms.create(VMConfig(labels={"colour": "blue", "size": "1"}))

        async def ids(**where: object) -> list[str]:
            return [vm.id for vm in (await engine.vms.list(**where)).items]  # type: ignore[arg-type]

        assert await ids() == [red.id, blue.id]
        assert await ids(labels={"colour": "red"}) == [red.id]
        assert await ids(labels={"size": "1"}) == [red.id, blue.id]
        assert await ids(labels={"size": "1", "colour": "green"}) == []
        assert await ids(states=[VMState.RUNNING]) == [blue.id]
        assert await ids(states=[VMState.RUNNING, VMState.CREATED]) == [red.id, blue.id]
        assert await ids(driver=driver.name) == [red.id, blue.id]
        assert await ids(driver="another") == []

    async def test_pages(self, engine: Engine) -> None:
        made = [(await engine.vms.create(VMConfig(), start=False)).id for _ in range(7)]
        found: list[str] = []
        after = None
        while True:
            page = await engine.vms.list(limit=3, after=after)
            assert len(page.items) <= 3
            found += [vm.id for vm in page.items]
            if (after := page.next) is None:
                break
        assert found == made
        with pytest.raises(InvalidArgument):
            await engine.vms.list(after="made up")

    async def test_a_key_makes_create_idempotent(self, engine: Engine) -> None:
        first = await engine.vms.create(VMConfig(), key="job-1")
        assert await engine.vms.create(VMConfig(), key="job-1") == first
        assert (await engine.vms.create(VMConfig(), start=False, key="job-2")).id != first.id

    async def test_one_key_many_callers_one_vm(self, engine: Engine) -> None:
        made = await asyncio.gather(*(engine.vms.create(VMConfig(), key="same") for _ in range(5)))
        assert len({vm.id for vm in made}) == 1
        assert len((await engine.vms.list()).items) == 1

    async def test_many_at_once(self, engine: Engine) -> None:
        made = await asyncio.gather(*(engine.vms.create(VMConfig(name=f"vm-number-{n}")) for n in range(8)))
        assert {vm.state for vm in made} == {VMState.RUNNING}
        assert len({vm.id for vm in made}) == 8
        await asyncio.gather(*(engine.vms.delete(vm.id) for vm in made))
        assert (await engine.vms.list()).items == ()

    async def test_opposite_wishes_at_once_end_in_one_of_them(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig())
        for _ in range(3):
            await asyncio.gather(
                engine.vms.stop(vm.id, force=True), engine.vms.start(vm.id), engine.vms.stop(vm.id, force=True)
            )
            assert (await engine.vms.get(vm.id)).state in (VMState.RUNNING, VMState.STOPPED)
