"""Opening the engine removes what nobody tracks, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import aetherium
from aetherium import Config, VMConfig, VMState
from aetherium.drivers.store import sqlite
from aetherium.drivers.vmm import bubblewrap
from aetherium.testing.requirements import requires


async def works(state: Path) -> None:
    async with bubblewrap.open_(bubblewrap.Config(), state_dir=state / "probe") as driver:
        probe = await driver.probe()
    requires("bubblewrap", unmet=None if probe.is_healthy else probe.reason)


async def test_what_has_no_row_is_removed_at_open(tmp_path: Path) -> None:
    await works(tmp_path)
    async with aetherium.open(Config(), state_directory=tmp_path) as engine:
        kept = await engine.vms.create(VMConfig(id="kept"))
        stray = await engine.vms.create(VMConfig(id="stray"))
        driver = await engine.drivers.get(stray.driver)
        await engine.vms._store.delete_vm(stray.id)
        assert await driver.leftovers() == {"kept", "stray"}
    async with aetherium.open(Config(), state_directory=tmp_path, reap=False) as engine:
        driver = await engine.drivers.get(stray.driver)
        assert await driver.leftovers() == {"kept", "stray"}
    async with aetherium.open(Config(), state_directory=tmp_path) as engine:
        driver = await engine.drivers.get(stray.driver)
        assert await driver.leftovers() == {"kept"}
        assert (await engine.vms.get(kept.id)).state is VMState.RUNNING
        await engine.vms.delete(kept.id)


@pytest.mark.parametrize("where", ["memory", "another file"])
async def test_a_store_that_knows_nobodys_vms_reaps_none(tmp_path: Path, where: str) -> None:
    await works(tmp_path)
    default = Config()
    options = {"sqlite": sqlite.Config(path=str(tmp_path / "other.db"))}
    storage = (
        replace(default.storage, provider="memory") if where == "memory" else replace(default.storage, options=options)
    )
    async with aetherium.open(default, state_directory=tmp_path) as engine:
        vm = await engine.vms.create()
        async with aetherium.open(replace(default, storage=storage), state_directory=tmp_path) as other:
            assert (await other.vms.list()).items == ()
        assert (await engine.vms.health(vm.id)).is_healthy
        await engine.vms.delete(vm.id)
