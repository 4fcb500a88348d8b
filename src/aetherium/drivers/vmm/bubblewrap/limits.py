"""The limits of a VM: laid on when it starts, written down before they are, taken away when it ends."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from aetherium._util.backoff import delays
from aetherium.drivers.vmm.bubblewrap import accounts, cgroups
from aetherium.drivers.vmm.bubblewrap.cgroups import Group, Hierarchy
from aetherium.drivers.vmm.bubblewrap.disk import Disk
from aetherium.model.vm import VM


@dataclass(frozen=True, slots=True)
class Limits:
    """What this process can hold VMs to."""

    hierarchies: tuple[Hierarchy, ...]

    @classmethod
    def of_this_process(cls) -> Limits:
        """Find out by looking at the control groups of this process."""
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                mounts = file.read()
            with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
                own = file.read()
        except OSError:
            return cls(())
        return cls(tuple(cgroups.discover(mounts, own)))

    def expected(self) -> tuple[str, ...]:
        """Return the limits that a VM will be held to."""
        found = cgroups.expected(self.hierarchies)
        return found if "pids" in found or not _counts_by_namespace() else (*found, "pids")

    def prepare(self, vm: VM, disk: Disk, name: str) -> Group:
        """Make the VM's groups, having written down which, so that they can be removed whatever happens."""
        if self.hierarchies:
            disk.cgroups.write_text(json.dumps(cgroups.planned(self.hierarchies, name)), encoding="utf-8")
        return cgroups.make(self.hierarchies, name, vm)

    def hold(self, vm: VM, group: Group, pids: list[int], *, entered: frozenset[str] = frozenset()) -> frozenset[str]:
        """Hold these processes and all they start to the limits, and return which hold.

        ``pids`` ends with the VM's first process; ``entered`` are the groups that they are in already.
        """
        held = cgroups.put(group, vm, pids, entered=entered).limits
        if "pids" not in held and _counts_by_namespace():
            with suppress(OSError, ValueError):
                resource.prlimit(pids[-1], resource.RLIMIT_NPROC, (vm.pids, vm.pids))
                return held | {"pids"}
        return held

    def paths(self, disk: Disk) -> tuple[str, ...]:
        """Return the groups that were, or were about to be, made for a VM."""
        try:
            paths = json.loads(disk.cgroups.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        return tuple(path for path in paths if isinstance(path, str)) if isinstance(paths, list) else ()

    def thaw(self, disk: Disk, more: Iterable[str] = ()) -> None:
        """Let a paused VM notice that it was killed."""
        accounts.thaw({*self.paths(disk), *more})

    def forget(self, disk: Disk, more: Iterable[str] = ()) -> bool:
        """Remove a VM's groups if nothing runs in them any more. Say whether all are gone."""
        left = cgroups.remove({*self.paths(disk), *more})
        if not left:
            disk.cgroups.unlink(missing_ok=True)
        return not left


def _counts_by_namespace() -> bool:
    """Say whether ``RLIMIT_NPROC`` counts the processes of a user namespace apart: since Linux 5.14. Then it holds for
    a VM as a whole, for all its processes are in a namespace that nobody else can enter."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return (
        version is not None and (int(version[1]), int(version[2])) >= (5, 14) and os.path.exists("/proc/self/ns/user")
    )


def settled(limits: Limits, disk: Disk, more: Iterable[str] = ()) -> Iterable[float]:
    """Yield pauses until a VM's groups are gone; the kernel empties them a moment after the last process ended."""
    paths = tuple(more)
    for delay, _ in zip(delays(0.0005, 0.05), range(60), strict=False):
        if limits.forget(disk, paths):
            return
        yield delay
