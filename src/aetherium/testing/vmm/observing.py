"""What one can see of a VM, and what it cannot see of the host."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import Conflict, DriverUnavailable, InvalidArgument, Unsupported
from aetherium.model.vm import VM, Isolation, Mount, Network, VMConfig, VMState
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.watched import WatchedDriver


class ObservingChecks(Bench):
    """Health, statistics, capabilities."""

    async def test_health(self, engine: Engine, vm: VM) -> None:
        health = await engine.vms.health(vm.id)
        assert (health.vm_id, health.state, health.is_healthy) == (vm.id, VMState.RUNNING, True)
        assert health.round_trip_s is not None
        assert 0 < health.round_trip_s < 5
        await engine.vms.stop(vm.id)
        health = await engine.vms.health(vm.id)
        assert (health.state, health.is_healthy, health.reason) == (VMState.STOPPED, False, "asked")

    async def test_stats(self, engine: Engine, vm: VM) -> None:
        await engine.vms.spawn(vm.id, Command.script("n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; sleep 600"))
        stats = await engine.vms.stats(vm.id)
        assert stats.vm_id == vm.id
        assert stats.processes >= 1
        assert stats.execs_running == 1
        assert stats.connections >= 1
        assert stats.memory_bytes > 0
        assert stats.disk_free_bytes > 0
        assert 0 <= stats.uptime_s < 60
        if "memory_mib" in vm.limits_enforced:
            assert stats.memory_limit_bytes is not None
            assert stats.memory_limit_bytes >= vm.memory_mib * 1024 * 1024
        await engine.vms.stop(vm.id)
        with pytest.raises(Conflict):
            await engine.vms.stats(vm.id)

    async def test_probe_finds_it_healthy(self, driver: WatchedDriver) -> None:
        probe = await driver.probe()
        assert probe.is_healthy
        assert probe.reason
        assert await driver.leftovers() == frozenset()

    async def test_what_the_driver_cannot_is_refused(self, engine: Engine, driver: WatchedDriver) -> None:
        capabilities = driver.capabilities
        if not capabilities.can_mount:
            with pytest.raises(Unsupported):
                await engine.vms.create(VMConfig(mounts=(Mount("/usr", "/mnt/usr"),)))
        for network in set(Network) - capabilities.networks:
            with pytest.raises(Unsupported):
                await engine.vms.create(VMConfig(network=network))
        if capabilities.isolation is not Isolation.VM:
            with pytest.raises((InvalidArgument, DriverUnavailable)):
                await engine.vms.create(VMConfig(isolation=Isolation.VM))
        if not capabilities.images:
            with pytest.raises((Unsupported, InvalidArgument)):
                await engine.vms.create(VMConfig(image="debian:12"))
        assert await driver.leftovers() == frozenset()
        assert (await engine.vms.list()).items == ()

    async def test_network_none_has_no_way_out(self, engine: Engine, vm: VM) -> None:
        if vm.isolation is Isolation.NONE:
            pytest.skip("nothing isolates it")
        routes = await engine.vms.exec(vm.id, Command.script("tail -n +2 /proc/net/route; cat /proc/net/ipv6_route"))
        assert [line for line in routes.stdout.splitlines() if not line.rstrip().endswith("lo")] == []
        cards = await engine.vms.exec(vm.id, Command.script("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"))
        assert set(cards.stdout.split()) <= {"lo"}

    async def test_vms_do_not_see_each_other(self, engine: Engine, vm: VM) -> None:
        if vm.isolation is Isolation.NONE:
            pytest.skip("nothing isolates it")
        other = await engine.vms.create(VMConfig())
        await engine.vms.exec(vm.id, Command.script("echo secret > mine; echo secret > /tmp/mine"))
        await engine.vms.spawn(vm.id, Command("sleep", ["654"]))
        look = "ls; ls /tmp; cat /proc/[0-9]*/cmdline | tr '\\000' ' '"
        seen = (await engine.vms.exec(other.id, Command.script(look))).stdout
        assert "mine" not in seen
        assert "sleep 654" not in seen

    async def test_a_mount_is_seen_at_its_place(self, engine: Engine, driver: WatchedDriver) -> None:
        if not driver.capabilities.can_mount:
            pytest.skip("the driver cannot mount")
        # Not pytest's own directory: that is closed to the user that the VM runs as.
        with tempfile.TemporaryDirectory(prefix="aetherium-mount-") as name:
            source = Path(name)
            source.chmod(0o777)
            (source / "file").write_text("from the host\n")
            (source / "file").chmod(0o666)
            mounts = (Mount(name, "/mnt/rw"), Mount(name, "/mnt/ro", read_only=True))
            vm = await engine.vms.create(VMConfig(mounts=mounts))
            assert (await engine.vms.exec(vm.id, Command("cat", ["/mnt/ro/file"]))).stdout == "from the host\n"
            assert (await engine.vms.exec(vm.id, Command.script("echo x > /mnt/ro/new"))).exit_code != 0
            assert (await engine.vms.exec(vm.id, Command.script("echo x > /mnt/rw/new"))).exit_code == 0
            assert (source / "new").read_text() == "x\n"
            await engine.vms.delete(vm.id)

    async def test_a_memory_hog_is_ended_and_the_vm_lives(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(memory_mib=64))
        if "memory_mib" not in vm.limits_enforced:
            pytest.skip("memory is not limited here")
        hog = Command("sh", ["-c", "head -c 300000000 /dev/zero | tail -c 300000000 | wc -c"], timeout_s=20)
        result = await within(30, engine.vms.exec(vm.id, hog))
        assert result.stdout.strip() != "300000000"
        assert (await engine.vms.exec(vm.id, Command("echo", ["alive"]))).stdout == "alive\n"

    async def test_a_fork_bomb_is_held_and_the_vm_lives(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(pids=32))
        if "pids" not in vm.limits_enforced:
            pytest.skip("processes are not limited here")
        bomb = "b() { b & b & wait; }; b"
        await engine.vms.exec(vm.id, Command("sh", ["-c", bomb], timeout_s=1))
        async with engine.vms.process(vm.id, Command("sleep", ["0"])) as process:
            await within(10, process.wait())
        assert (await engine.vms.health(vm.id)).is_healthy
