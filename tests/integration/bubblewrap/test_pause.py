"""Paused, nothing in the VM runs: by control group where there is one, else by signals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap import accounts
from aetherium.drivers.vmm.bubblewrap.handle import machine
from aetherium.model.errors import GuestUnreachable
from aetherium.model.vm import VM
from aetherium.ports.vmm import Handle, Presence
from aetherium.testing.vmm.bench import within
from aetherium.testing.watched import WatchedDriver
from tests.integration.bubblewrap.bench import BubblewrapBench, ask

TREE = "(while :; do :; done) & (sleep 300 & exec sleep 300) & echo made"


def stopped(vm_init: int) -> set[str]:
    """Return the letters of the states of the VM's processes that could still run."""
    namespace = Path(f"/proc/{vm_init}/ns/pid").stat().st_ino
    letters = set()
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and (path / "ns/pid").stat().st_ino == namespace:
                letters.add((path / "stat").read_text().rpartition(")")[2].split()[0])
        except OSError:
            continue
    return letters


class TestPause(BubblewrapBench):
    @pytest.fixture(params=["as found", "signals"])
    def method(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "signals":
            monkeypatch.setattr(accounts, "freezer", lambda paths: None)

    async def test_everything_stops_and_goes_on(
        self, driver: WatchedDriver, running: tuple[VM, Handle], method: None
    ) -> None:
        vm, handle = running
        assert (await ask(driver, vm, handle, "sh", "-c", TREE))[1] == "made\n"
        await within(10, driver.pause(vm, handle))
        assert (await driver.inspect(vm, handle)).presence is Presence.PAUSED
        if accounts.freezer(machine(handle).cgroups) is None:
            assert stopped(machine(handle).init.pid) <= {"T", "D"}
        with pytest.raises(TimeoutError):
            await within(0.2, ask(driver, vm, handle, "true"))
        await driver.pause(vm, handle)
        await within(10, driver.resume(vm, handle))
        assert (await driver.inspect(vm, handle)).presence is Presence.RUNNING
        assert await within(10, ask(driver, vm, handle, "echo", "awake")) == (0, "awake\n", "")
        await driver.resume(vm, handle)

    async def test_a_paused_vm_ends(self, driver: WatchedDriver, running: tuple[VM, Handle], method: None) -> None:
        vm, handle = running
        await ask(driver, vm, handle, "sh", "-c", TREE)
        await within(10, driver.pause(vm, handle))
        waiting = asyncio.create_task(driver.wait(vm, handle))
        await within(10, driver.stop(vm, handle))
        await within(5, waiting)

    async def test_a_paused_vm_is_deleted(
        self, driver: WatchedDriver, running: tuple[VM, Handle], method: None
    ) -> None:
        vm, handle = running
        await within(10, driver.pause(vm, handle))
        await within(10, driver.delete(vm.id, None))
        assert await driver.leftovers() == frozenset()

    async def test_one_that_ended(self, driver: WatchedDriver, running: tuple[VM, Handle]) -> None:
        vm, handle = running
        await driver.stop(vm, handle)
        for call in (driver.pause, driver.resume):
            with pytest.raises(GuestUnreachable):
                await call(vm, handle)
