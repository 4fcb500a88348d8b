"""What the tests of this driver stand on."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from aetherium._util.ids import new_id
from aetherium.core.engine import Engine
from aetherium.core.guest.connection import GuestConnection
from aetherium.core.guest.process import Process
from aetherium.drivers.bus import memory as bus
from aetherium.drivers.store import memory as store
from aetherium.drivers.store import sqlite
from aetherium.drivers.vmm import bubblewrap
from aetherium.model.command import Channel, Command, ExitStatus, Output
from aetherium.model.vm import VM, Isolation, VMConfig, VMState
from aetherium.ports.vmm import Handle, VMOrchestrator
from aetherium.testing.vmm import Openers
from aetherium.testing.vmm.bench import Bench
from aetherium.testing.watched import WatchedDriver

# The copy of /etc is kept on purpose; the census is not to see it where there is no home to keep it in.
CACHE = os.environ.get("AETHERIUM_TEST_CACHE", "")
if not CACHE:
    CACHE = os.environ["AETHERIUM_TEST_CACHE"] = tempfile.mkdtemp(prefix="aetherium-test-cache-")
    os.chmod(CACHE, 0o755)
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)


def openers(**settings: Any) -> Openers:
    """Return how to open this driver and its surroundings."""
    return Openers(
        driver=partial(bubblewrap.open_, bubblewrap.Config(cache_dir=CACHE, **settings)),
        store=partial(store.open_, store.Config()),
        bus=partial(bus.open_, bus.Config()),
        durable_store=partial(sqlite.open_, sqlite.Config()),
    )


def new_vm(vm_id: str | None = None, **fields: Any) -> VM:
    """Return a VM as the engine would give it to the driver."""
    defaults: dict[str, Any] = {"image": "host", "cpus": 1.0, "memory_mib": 256, "pids": 64}
    return VM(
        id=vm_id or new_id("vm"),
        name=None,
        state=VMState.CREATED,
        desired_state=VMState.RUNNING,
        driver="bubblewrap",
        isolation=Isolation.NAMESPACE,
        created_at=datetime.now(UTC),
        **{**defaults, **fields},
    )


async def ask(driver: VMOrchestrator, vm: VM, handle: Handle, *argv: str) -> tuple[int, str, str]:
    """Run a command through a connection of its own: exit code, standard output, standard error."""
    connection = GuestConnection(vm.id)
    await driver.connect(vm, handle, lambda: connection)
    try:
        await connection.wait_ready()
        process = await Process.start(connection, new_id("x"), Command(argv[0], argv[1:]), stdin=False)
        text = {Channel.STDOUT: b"", Channel.STDERR: b""}
        while True:
            item = await process.read()
            if isinstance(item, ExitStatus):
                return item.exit_code, text[Channel.STDOUT].decode(), text[Channel.STDERR].decode()
            if isinstance(item, Output):
                text[item.channel] += item.data
    finally:
        await connection.close()


class BubblewrapBench(Bench):
    """Gives the fixtures of ``Bench`` this driver."""

    @pytest.fixture
    def openers(self) -> Openers:
        return openers()

    @pytest.fixture
    async def running(self, driver: WatchedDriver) -> AsyncIterator[tuple[VM, Handle]]:
        """Return a VM that runs, without an engine."""
        vm = new_vm()
        await driver.create(vm)
        started = await driver.start(vm)
        yield vm, started.handle
        await driver.delete(vm.id, started.handle)


async def sh(engine: Engine, vm: VM, script: str, **fields: Any) -> str:
    """Run a script in the VM and return what it printed. It must succeed."""
    result = await engine.vms.exec(vm.id, Command.script(script, **fields))
    assert result.exit_code == 0, result.stderr
    return result.stdout


__all__ = ["BubblewrapBench", "VMConfig", "ask", "new_vm", "openers", "sh"]
