"""How VMs end: asked, forced, by age, by themselves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import AetheriumError, Conflict
from aetherium.model.event import Event
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.ports.bus import EventBus
from aetherium.testing.census import Census, Signs, leaks
from aetherium.testing.vmm.bench import Bench, within
from aetherium.testing.vmm.execs import until_file
from aetherium.testing.watched import WatchedDriver

_DYING = "trap 'echo asked > last; exit 0' TERM; echo > begun; while :; do sleep 0.01; done"
_STUBBORN = "trap 'echo asked > last' TERM; echo > begun; while :; do sleep 0.01; done"


class EndingChecks(Bench):
    """Stop, force, time to live, death."""

    async def test_stop_asks_first(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        await engine.vms.spawn(vm.id, Command.script(_DYING))
        await until_file(engine, vm, "begun")
        began = time.monotonic()
        await engine.vms.stop(vm.id, grace_s=20)
        assert time.monotonic() - began < 10, "the grace is a limit, not a pause"
        assert await last_words(engine, vm, driver) in ("asked\n", None)

    async def test_after_the_grace_it_is_forced(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        await engine.vms.spawn(vm.id, Command.script(_STUBBORN))
        await until_file(engine, vm, "begun")
        began = time.monotonic()
        stopped = await engine.vms.stop(vm.id, grace_s=0.4)
        assert 0.4 <= time.monotonic() - began < 10
        assert stopped.state is VMState.STOPPED
        assert await last_words(engine, vm, driver) in ("asked\n", None)

    async def test_force_does_not_ask(self, engine: Engine, vm: VM, driver: WatchedDriver) -> None:
        await engine.vms.spawn(vm.id, Command.script(_DYING))
        await until_file(engine, vm, "begun")
        stopped = await engine.vms.stop(vm.id, force=True)
        assert stopped.stop_reason is not None
        assert stopped.stop_reason.rule == "forced"
        assert await last_words(engine, vm, driver) in ("", None)

    @pytest.mark.parametrize("force", [False, True])
    async def test_stop_ends_every_process(
        self, engine: Engine, driver: WatchedDriver, state_dir: Path, *, force: bool
    ) -> None:
        before = Census.first(Signs(places=(state_dir,)))
        vm = await engine.vms.create(VMConfig())
        daemon = "(setsid sh -c 'echo > begun; trap : TERM HUP; while :; do sleep 600; done' &) ; exec sleep 600"
        await engine.vms.spawn(vm.id, Command.script(daemon))
        await until_file(engine, vm, "begun")
        await engine.vms.stop(vm.id, force=force, grace_s=0.2)
        assert await driver.find(vm) is None
        signs = Signs(places=(state_dir,), names=frozenset({vm.id}))
        assert await leaks(before, signs, of="process") == []

    async def test_commands_under_way_fail_when_the_vm_stops(self, engine: Engine, vm: VM) -> None:
        running = asyncio.create_task(engine.vms.exec(vm.id, Command.script("echo > begun; trap '' TERM; sleep 600")))
        await until_file(engine, vm, "begun")
        await engine.vms.stop(vm.id, force=True)
        with pytest.raises(AetheriumError):
            await within(10, running)
        with pytest.raises(Conflict):
            await engine.vms.exec(vm.id, Command("true"))

    async def test_time_to_live(self, engine: Engine, bus: EventBus) -> None:
        async with bus.subscribe("vm.stopped") as events:
            vm = await engine.vms.create(VMConfig(timeout_s=1))
            assert vm.expires_at is not None
            assert vm.started_at is not None
            await engine.vms.spawn(vm.id, Command("sleep", ["600"]))
            event = await within(10, anext(events))
            assert (event.subject, event.data["rule"]) == (vm.id, "time_to_live")
        ended = await engine.vms.get(vm.id)
        assert ended.state is VMState.STOPPED
        assert ended.stop_reason is not None
        assert (ended.stop_reason.rule, ended.stop_reason.limit) == ("time_to_live", "1 s")
        assert (await engine.vms.start(vm.id)).state is VMState.RUNNING

    async def test_no_time_to_live(self, engine: Engine) -> None:
        assert (await engine.vms.create(VMConfig(timeout_s=0))).expires_at is None

    async def test_a_vm_that_dies_is_seen_and_announced(
        self, engine: Engine, vm: VM, driver: WatchedDriver, bus: EventBus
    ) -> None:
        async with bus.subscribe("vm.*") as events:
            await engine.vms.exec(vm.id, Command("true"))
            await kill(driver, vm)
            event = await within(10, anext(events))
            assert (event.type, event.subject, event.data["rule"]) == ("vm.stopped", vm.id, "died")
        seen = await engine.vms.get(vm.id)
        assert seen.state is VMState.STOPPED
        assert seen.desired_state is VMState.RUNNING
        assert seen.stop_reason is not None
        assert (seen.stop_reason.who, seen.stop_reason.rule) == ("machine", "died")
        with pytest.raises(Conflict):
            await engine.vms.exec(vm.id, Command("true"))
        assert (await engine.vms.start(vm.id)).state is VMState.RUNNING
        assert (await engine.vms.exec(vm.id, Command("echo", ["back"]))).stdout == "back\n"

    async def test_events_of_a_life(self, engine: Engine, bus: EventBus) -> None:
        async with bus.subscribe("vm.*") as events:
            vm = await engine.vms.create(VMConfig())
            await engine.vms.stop(vm.id)
            await engine.vms.start(vm.id)
            await engine.vms.delete(vm.id)
            got: list[Event] = [await within(5, anext(events)) for _ in range(5)]
        assert [event.type for event in got] == ["vm.created", "vm.started", "vm.stopped", "vm.started", "vm.deleted"]
        assert {event.subject for event in got} == {vm.id}


async def kill(driver: WatchedDriver, vm: VM) -> None:
    """End a VM behind the engine's back."""
    handle = await driver.find(vm)
    assert handle is not None, "find() does not find a VM that runs"
    await driver.stop(vm, handle)


async def last_words(engine: Engine, vm: VM, driver: WatchedDriver) -> str | None:
    """Return what the VM's program wrote when it ended; None if files do not outlive a stop."""
    if not driver.capabilities.files_survive_stop:
        return None
    await engine.vms.start(vm.id)
    return (await engine.vms.exec(vm.id, Command.script("cat last 2>/dev/null || :"))).stdout
