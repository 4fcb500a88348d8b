"""VMs made by ``bubblewrap``: namespaces, a system-call filter, control groups, one process of the host each."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from aetherium._util.backoff import delays
from aetherium._util.filelock import file_lock
from aetherium._util.ids import is_valid_id
from aetherium._util.uncancelled import uncancelled
from aetherium.drivers.vmm.bubblewrap import (
    accounts,
    cgroups,
    channel,
    etc,
    halting,
    launch,
    marks,
    mounts,
    probe,
    processes,
    removal,
    tools,
    uids,
)
from aetherium.drivers.vmm.bubblewrap.children import Children, collect_left
from aetherium.drivers.vmm.bubblewrap.config import Config
from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import Disk
from aetherium.drivers.vmm.bubblewrap.failures import in_words
from aetherium.drivers.vmm.bubblewrap.handle import Machine, machine
from aetherium.drivers.vmm.bubblewrap.limits import Limits, settled
from aetherium.drivers.vmm.bubblewrap.marks import Found, Mark
from aetherium.drivers.vmm.bubblewrap.processes import Process
from aetherium.model.errors import (
    AetheriumError,
    DriverUnavailable,
    GuestUnreachable,
    Internal,
    InvalidArgument,
    NotFound,
)
from aetherium.model.vm import VM, Isolation, Network
from aetherium.ports.vmm import Capabilities, Handle, Observed, Presence, Probe, Started, Usage, VMOrchestrator

IMAGE: Final = "host"


class Bubblewrap:
    """The driver. One object serves many VMs at once; everything it must remember is on disk or in handles."""

    name = "bubblewrap"
    capabilities = Capabilities(
        isolation=Isolation.NAMESPACE,
        can_pause=True,
        can_mount=True,
        limits=frozenset({"cpus", "memory_mib", "pids"}),
    )

    def __init__(self, config: Config, state_dir: Path, children: Children) -> None:
        self._config = config
        self._state_dir = state_dir
        self._vms = state_dir / "vms"
        self._etcs = etc.directories(config.cache_dir, state_dir)
        self._children = children
        self._mark = Mark.of(state_dir)
        self._drops = uids.must_drop()
        self._limits = Limits.of_this_process()
        self._boot = processes.boot_id()

    async def probe(self) -> Probe:
        """Start a guest, hear its first words, end it."""
        return await probe.tried(self._config, self._state_dir, lambda scratch: open_(self._config, state_dir=scratch))

    async def create(self, vm: VM) -> None:
        """Make the VM's directories, and choose the uid that owns them."""
        self._check(vm)
        disk = self._disk(vm.id)
        with in_words("making the state directory"):
            self._vms.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._drops:
                disk.make(None)
                return
            async with file_lock(self._state_dir / "uids.lock", timeout_s=30):
                disk.make(self._uid_for(disk))

    async def start(self, vm: VM, *, agent_args: tuple[str, ...] = ()) -> Started:
        """Start ``bwrap``, hold it to the limits before the agent runs, and return once the agent does."""
        self._check(vm)
        disk = self._disk(vm.id)
        owner = disk.owner()
        collect_left()
        if marks.recorded(disk.told()) is not None:  # one that nobody remembers; two would share one disk
            await uncancelled(asyncio.to_thread(self._end_all, disk, ()))
        for delay in settled(self._limits, disk):  # of a run that ended by itself
            await asyncio.sleep(delay)
        with tools.opened(self._config.bwrap) as found, Descriptors() as fds:
            try:
                with in_words(f"starting VM {vm.id}"):
                    group = self._limits.prepare(vm, disk, self._mark.cgroup(vm.id))
                    order = launch.Order(
                        vm=vm,
                        disk=disk,
                        uid=owner if self._drops else None,
                        word=self._mark.word(vm.id),
                        agent_args=agent_args,
                        state_dir=self._state_dir,
                        arch=platform.machine(),
                        etcs=self._etcs,
                        group=group,
                    )
                    launched = launch.spawn(fds, order, found)
                    self._children.add(launched.pid)
                monitor = processes.identify(launched.pid)
                async with asyncio.timeout(self._config.start_timeout_s):
                    init = await launch.first_process(launched, disk)
                    held = self._limits.hold(vm, group, [launched.pid, init.pid], entered=launched.entered)
                    if self._config.require_limits and held < self.capabilities.limits:
                        raise _unlimited(self.capabilities.limits - held)
                    await launch.agent_started(fds, launched, init, order)
            except BaseException as error:
                self._undo(disk)
                if isinstance(error, TimeoutError):
                    raise DriverUnavailable(
                        f"VM {vm.id} did not come up in {self._config.start_timeout_s:g} s: {disk.last_words()}",
                        remedy="raise 'start_timeout_s' if this host is very busy",
                    ) from error
                raise
        made = Machine(boot=self._boot, init=init, monitor=monitor, cgroups=group.paths)
        return Started(made.handle(), tuple(sorted(held)))

    def _undo(self, disk: Disk) -> None:
        # Blocks for the few milliseconds that a kill takes: a cancellation cannot come in between.
        marks.end_all(lambda: self._processes(disk, ()))
        self._children.settle_all()
        for delay in settled(self._limits, disk):
            time.sleep(delay)
        disk.clear_run()

    async def find(self, vm: VM) -> Handle | None:
        """Look for processes that carry the VM's mark. One that is still coming up gets the time to."""
        disk = self._disk(vm.id)
        try:
            believed = frozenset({disk.owner(), os.geteuid()})
        except NotFound:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.start_timeout_s):
                for delay in delays(0.002, 0.05):
                    found = [each for each in marks.search(self._mark, believed) if each.vm_id == vm.id]
                    if not found:
                        return None
                    init = next((each for each in found if each.is_agent), None)
                    if init is not None:
                        return self._adopted(vm, disk, init.process, found)
                    if all(each.is_init for each in found):
                        break  # whoever should have let it begin is gone
                    await asyncio.sleep(delay)
        await uncancelled(asyncio.to_thread(self._undo, disk))
        return None

    def _adopted(self, vm: VM, disk: Disk, init: Process, found: list[Found]) -> Handle:
        monitor = next((each.process for each in found if not each.is_init), None)
        # The one who started it may have died before it laid the limits on; the agent has started nothing yet.
        members = [process.pid for process in (monitor, init) if process is not None]
        group = self._limits.prepare(vm, disk, self._mark.cgroup(vm.id))
        self._limits.hold(vm, group, members)
        return Machine(boot=self._boot, init=init, monitor=monitor, cgroups=group.paths).handle()

    async def inspect(self, vm: VM, handle: Handle) -> Observed:
        """Look at the VM's first process."""
        there = machine(handle)
        if there.boot != self._boot:
            return Observed(Presence.GONE, "the host restarted")
        seen = processes.find(there.init)
        if seen is None:
            return Observed(Presence.GONE, self._disk(vm.id).epitaph(accounts.account(there.cgroups).oom_kills))
        freezer = accounts.freezer(there.cgroups)
        if seen.state == "T" or (freezer is not None and accounts.is_frozen(freezer)):
            return Observed(Presence.PAUSED)
        return Observed(Presence.RUNNING)

    async def connect(
        self, vm: VM, handle: Handle, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.BaseTransport:
        """Connect to the agent's socket."""
        return await channel.connect(self._disk(vm.id), protocol)

    async def wait(self, vm: VM, handle: Handle) -> None:
        """Wait for the VM's first process, whoever is its parent."""
        there = machine(handle)
        if there.boot == self._boot:
            await processes.gone(there.init)

    async def stop(self, vm: VM, handle: Handle) -> None:
        """Kill the VM's first process, with which the kernel ends all others, and remove what the run has left."""
        disk, there = self._disk(vm.id), machine(handle)
        if there.boot == self._boot:
            processes.kill(there.init)
            self._limits.thaw(disk, there.cgroups)
            await processes.gone(there.init)
            if there.monitor is not None:
                await self._ended(there.monitor)
        for delay in settled(self._limits, disk, there.cgroups):
            await asyncio.sleep(delay)
        disk.clear_run()

    async def _ended(self, monitor: Process) -> None:
        # It ends by itself, and so collects the VM's first process, which would else stay a zombie on hosts whose
        # own first process collects nothing.
        try:
            async with asyncio.timeout(1):
                await processes.gone(monitor)
        except TimeoutError:
            processes.kill(monitor)
            await processes.gone(monitor)
        self._children.settle(monitor.pid)
        collect_left()

    async def pause(self, vm: VM, handle: Handle) -> None:
        """Freeze the VM's control group, or stop each of its processes."""
        there = self._present(vm, handle)
        freezer = accounts.freezer(there.cgroups)
        if freezer is None:
            await halting.halt(there.init)
            return
        try:
            with in_words(f"pausing VM {vm.id}"):
                await accounts.freeze(freezer, True)
        except BaseException:
            accounts.thaw(there.cgroups)
            raise

    async def resume(self, vm: VM, handle: Handle) -> None:
        """Thaw the VM's control group, or continue each of its processes."""
        there = self._present(vm, handle)
        freezer = accounts.freezer(there.cgroups)
        if freezer is not None:
            with in_words(f"resuming VM {vm.id}"):
                await accounts.freeze(freezer, False)
        halting.release(there.init)

    def _present(self, vm: VM, handle: Handle) -> Machine:
        there = machine(handle)
        if there.boot != self._boot or processes.find(there.init) is None:
            raise GuestUnreachable(f"VM {vm.id} has ended")
        return there

    async def usage(self, vm: VM, handle: Handle) -> Usage:
        """Read the control groups' counters, and walk over the disk."""
        disk, there = self._disk(vm.id), machine(handle)
        disk.trim_console()
        used = accounts.account(there.cgroups)
        size = await asyncio.to_thread(removal.size, disk.root)
        return Usage(used.memory_bytes, used.memory_limit_bytes, used.cpu_s, size)

    async def delete(self, vm_id: str, handle: Handle | None) -> None:
        """Kill what carries the VM's mark, remove its groups, then its directory, which goes last so that a delete
        that was interrupted can be repeated."""
        disk = self._disk(vm_id)
        there = None
        with suppress(Internal):  # a handle that cannot be read must not keep a VM from being deleted
            there = machine(handle) if handle is not None else None
        if there is not None and there.boot == self._boot:
            processes.kill(there.init)
        paths = there.cgroups if there is not None else ()
        paths = (*paths, *cgroups.planned(self._limits.hierarchies, self._mark.cgroup(vm_id)))
        self._limits.thaw(disk, paths)
        await uncancelled(asyncio.to_thread(self._end_all, disk, paths))
        if there is not None and there.boot == self._boot:
            await processes.gone(there.init)
        self._children.settle_all()
        collect_left()
        for delay in settled(self._limits, disk, paths):
            await asyncio.sleep(delay)
        with in_words(f"deleting VM {vm_id}"):
            await uncancelled(asyncio.to_thread(removal.remove, disk.path))

    def _end_all(self, disk: Disk, groups: tuple[str, ...]) -> None:
        if not marks.end_all(lambda: self._processes(disk, groups)):
            raise Internal(f"processes of VM {disk.path.name} cannot be killed")

    def _processes(self, disk: Disk, groups: Iterable[str]) -> Iterator[Process]:
        """Yield whatever of a VM can be found: by its mark, by its groups, by what bwrap wrote down."""
        for found in marks.search(self._mark):
            if found.vm_id == disk.path.name:
                yield found.process
        for pid in cgroups.members({*self._limits.paths(disk), *groups}):
            process = processes.identify(pid)
            if process is not None and marks.is_inside(pid) and processes.find(process) is not None:
                yield process
        recorded = marks.recorded(disk.told())
        if recorded is not None and processes.find(recorded) is not None:
            yield recorded

    async def leftovers(self) -> frozenset[str]:
        """Look for directories, control groups and processes of ours."""
        return await asyncio.to_thread(self._leftovers)

    def _leftovers(self) -> frozenset[str]:
        found: set[str | None] = {each.vm_id for each in marks.search(self._mark)}
        found.update(map(self._mark.vm_of_cgroup, cgroups.names(self._limits.hierarchies)))
        with in_words("reading the state directory"), suppress(FileNotFoundError):
            found.update(os.listdir(self._vms))
        return frozenset(vm_id for vm_id in found if vm_id is not None and is_valid_id(vm_id))

    def console(self, vm_id: str) -> Path | None:
        """Return the file that bwrap and the agent print to."""
        return self._disk(vm_id).console

    def _disk(self, vm_id: str) -> Disk:
        if not is_valid_id(vm_id):  # it becomes a path
            raise InvalidArgument(f"invalid VM id {vm_id!r}")
        return Disk(self._vms / vm_id)

    def _check(self, vm: VM) -> None:
        if vm.image != IMAGE:
            raise InvalidArgument(
                f"the bubblewrap driver has no image {vm.image!r}",
                remedy=f"use image '{IMAGE}' (the programs of this host), or a driver with images such as docker",
            )
        if vm.network is not Network.NONE:
            raise InvalidArgument(
                f"the bubblewrap driver has no network {vm.network.value!r}",
                remedy="use network 'none', or another driver",
            )
        with Descriptors() as fds:
            mounts.opened(fds, vm.mounts, self._state_dir)

    def _uid_for(self, disk: Disk) -> int:
        with suppress(NotFound):
            owner = disk.owner()
            if owner != os.geteuid():
                return owner
        if self._config.uid != "auto":
            return self._config.uid
        available = uids.available(self._config, uids.mapped())
        assert available is not None, "must_drop() said so"
        return uids.choose(available, uids.taken(self._vms))


def _unlimited(missing: frozenset[str]) -> AetheriumError:
    return DriverUnavailable(
        f"this host cannot hold a VM to its limits of {', '.join(sorted(missing))}",
        remedy="run as root or in a delegated control group (systemd-run --user --scope -p Delegate=yes ...), "
        "or set 'require_limits' to false",
    )


@asynccontextmanager
async def open_(config: Config, *, state_dir: Path) -> AsyncIterator[VMOrchestrator]:
    """Open the driver on ``state_dir``. Closing it leaves the VMs running, and nothing in this process."""
    directory = Path(os.path.realpath(state_dir))
    if directory.is_relative_to("/usr"):
        raise InvalidArgument(
            f"the state directory {directory} is in /usr, which every VM sees", remedy="choose another state directory"
        )
    children = Children()
    try:
        yield Bubblewrap(config, directory, children)
    finally:
        children.close()
