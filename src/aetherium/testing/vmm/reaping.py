"""Ending what nobody tracks, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import NotFound
from aetherium.model.vm import VMConfig, VMState
from aetherium.ports.bus import EventBus
from aetherium.ports.store import StateStore
from aetherium.ports.vmm import VMOrchestrator
from aetherium.testing.assembly import Openers, engine_over
from aetherium.testing.vmm.bench import Bench
from aetherium.testing.watched import WatchedDriver

_DEAD = "4194304:1"  # above the largest pid there can be


class ReapingChecks(Bench):
    """Leftovers and abandoned VMs."""

    @pytest.fixture
    async def stranger(self, openers: Openers, driver: WatchedDriver, tmp_path: Path) -> AsyncIterator[VMOrchestrator]:
        """Open the same driver on another state directory."""
        directory = tmp_path / "stranger"
        directory.mkdir(mode=0o700)
        async with openers.driver(state_dir=directory) as stranger:
            yield stranger

    async def test_nothing_to_reap(self, engine: Engine) -> None:
        await engine.vms.create(VMConfig())
        await engine.vms.create(VMConfig(), start=False)
        assert await engine.vms.reap() == ()

    @pytest.mark.parametrize("start", [True, False])
    async def test_a_machine_without_a_row(
        self, engine: Engine, store: StateStore, driver: WatchedDriver, *, start: bool
    ) -> None:
        kept = await engine.vms.create(VMConfig())
        lost = await engine.vms.create(VMConfig(), start=start)
        await store.delete_vm(lost.id)
        found = await engine.vms.reap(dry_run=True)
        assert [(reaped.driver, reaped.vm_id) for reaped in found] == [(driver.name, lost.id)]
        assert lost.id in await driver.leftovers(), "a dry run removed something"
        assert await engine.vms.reap() == found
        assert await driver.leftovers() == {kept.id}
        assert await engine.vms.reap() == ()
        assert (await engine.vms.exec(kept.id, Command("echo", ["kept"]))).stdout == "kept\n"

    async def test_an_ephemeral_vm_whose_owner_is_gone(
        self, engine: Engine, store: StateStore, driver: WatchedDriver
    ) -> None:
        mine = await engine.vms.create(VMConfig(ephemeral=True))
        orphan = await engine.vms.create(VMConfig(ephemeral=True))
        record = await store.get_vm(orphan.id)
        assert record.owner is not None
        await store.update_vm(replace(record, owner=_DEAD))
        assert [reaped.vm_id for reaped in await engine.vms.reap(dry_run=True)] == [orphan.id]
        assert [reaped.vm_id for reaped in await engine.vms.reap()] == [orphan.id]
        with pytest.raises(NotFound):
            await engine.vms.get(orphan.id)
        assert await driver.leftovers() == {mine.id}
        assert (await engine.vms.get(mine.id)).state is VMState.RUNNING

    async def test_opening_an_engine_removes_abandoned_vms(
        self, engine: Engine, store: StateStore, bus: EventBus, driver: WatchedDriver
    ) -> None:
        orphan = await engine.vms.create(VMConfig(ephemeral=True))
        await store.update_vm(replace(await store.get_vm(orphan.id), owner=_DEAD))
        async with engine_over(driver, store, bus) as other:
            assert (await other.vms.list()).items == ()
        assert await driver.leftovers() == frozenset()

    async def test_what_others_have_is_not_touched(
        self, engine: Engine, bus: EventBus, openers: Openers, stranger: VMOrchestrator, tmp_path: Path
    ) -> None:
        async with (
            openers.store(state_dir=tmp_path / "stranger") as their_store,
            engine_over(stranger, their_store, bus) as theirs,
        ):
            vm = await theirs.vms.create(VMConfig())
            assert await engine.vms.reap() == ()
            assert (await theirs.vms.exec(vm.id, Command("echo", ["here"]))).stdout == "here\n"
            await theirs.vms.delete(vm.id)
