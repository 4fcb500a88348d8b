"""Limits are limits on the VM as a whole, and its agent survives them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.drivers.vmm.bubblewrap.limits import Limits
from aetherium.model.command import Command
from aetherium.model.errors import DriverUnavailable
from aetherium.model.vm import VM, VMConfig
from aetherium.testing.requirements import requires
from tests.integration.bubblewrap.bench import BubblewrapBench, new_vm, openers, sh

EXPECTED = Limits.of_this_process().expected()


def needs(limit: str) -> None:
    requires(f"bubblewrap-{limit}", unmet=None if limit in EXPECTED else f"this user cannot hold VMs to {limit} here")


class TestLimits(BubblewrapBench):
    async def test_what_is_promised_is_what_was_found(self, engine: Engine, vm: VM) -> None:
        assert set(vm.limits_enforced) == set(EXPECTED)
        probe = await engine.vms.health(vm.id)
        assert probe.is_healthy

    async def test_a_fork_bomb_stops_at_the_limit(self, engine: Engine) -> None:
        needs("pids")
        vm = await engine.vms.create(VMConfig(pids=24))
        script = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except OSError as error:
    print(error.errno, made)
"""
        result = await engine.vms.exec(vm.id, Command("python3", ["-c", script]))
        number, made = result.stdout.split()
        assert number == "11"
        assert 10 < int(made) <= 28
        assert (await engine.vms.health(vm.id)).is_healthy

    async def test_memory_ends_the_command_and_not_the_agent(self, engine: Engine) -> None:
        needs("memory_mib")
        vm = await engine.vms.create(VMConfig(memory_mib=64))
        result = await engine.vms.exec(vm.id, Command("python3", ["-c", "x = bytearray(500 << 20); print(len(x))"]))
        assert (result.exit_code, result.stdout) == (137, "")
        assert await sh(engine, vm, "echo alive") == "alive\n"

    async def test_memory_of_many_small_processes(self, engine: Engine) -> None:
        needs("memory_mib")
        vm = await engine.vms.create(VMConfig(memory_mib=32, pids=200))
        script = "for i in $(seq 150); do (x=$(head -c 1000000 /dev/zero | tr '\\\\0' x); sleep 20) & done; wait"
        await engine.vms.exec(vm.id, Command("sh", ["-c", script], timeout_s=3))
        assert (await engine.vms.health(vm.id)).is_healthy

    async def test_files_in_memory_count(self, engine: Engine) -> None:
        needs("memory_mib")
        vm = await engine.vms.create(VMConfig(memory_mib=64))
        result = await engine.vms.exec(vm.id, Command.script("head -c 500M /dev/zero > /dev/shm/x"))
        assert result.exit_code != 0
        assert (await engine.vms.health(vm.id)).is_healthy

    async def test_a_share_of_a_processor(self, engine: Engine) -> None:
        needs("cpus")
        vm = await engine.vms.create(VMConfig(cpus=0.25))
        script = """
import os, time
end = time.monotonic() + 1.0
while time.monotonic() < end:
    pass
print(sum(os.times()[:2]))
"""
        began = time.monotonic()
        used = float(await sh(engine, vm, f"python3 -c '{script}'"))
        assert used < 0.4 * (time.monotonic() - began) + 0.1

    async def test_usage_is_of_the_whole_vm(self, engine: Engine, vm: VM) -> None:
        await sh(engine, vm, "head -c 3000000 /dev/zero > /workspace/x; head -c 3000000 /dev/zero > /tmp/x")
        stats = await engine.vms.stats(vm.id)
        assert stats.disk_bytes >= 6_000_000
        if "memory_mib" in EXPECTED:
            assert stats.memory_limit_bytes == vm.memory_mib << 20
            assert 0 < stats.memory_bytes < stats.memory_limit_bytes


class TestRequired(BubblewrapBench):
    async def test_limits_are_held_or_the_vm_is_refused(self, raw_driver: object, state_dir: Path) -> None:
        vm = new_vm()
        async with openers(require_limits=True).driver(state_dir=state_dir) as driver:
            await driver.create(vm)
            try:
                if set(EXPECTED) == driver.capabilities.limits:
                    assert set((await driver.start(vm)).limits_enforced) == driver.capabilities.limits
                else:
                    with pytest.raises(DriverUnavailable, match="memory_mib"):
                        await driver.start(vm)
                    assert await driver.find(vm) is None
            finally:
                await driver.delete(vm.id, None)
