"""Holding a VM to its limits, and counting what it uses, by control groups of version 1 or 2, or of both at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from aetherium.model.vm import VM

PARENT: Final = "aetherium"
_PERIOD_US: Final = 100_000
_OWN_PIDS: Final = 4
"""bwrap and the agent are in the group too, and do not count against the VM."""
_V2_CONTROLLERS: Final = ("memory", "pids", "cpu")
_V1_CONTROLLERS: Final = ("memory", "pids", "cpu", "cpuacct", "freezer")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A tree of control groups. ``base`` is the group below which VMs may get theirs, ``controllers`` what works there.

    Version 2 has one tree with all controllers in it.
    """

    base: str
    controllers: frozenset[str]
    is_v2: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A VM's group in one tree, and the limits that were set there."""

    path: str
    limits: frozenset[str]
    hierarchy: Hierarchy


@dataclass(frozen=True, slots=True)
class Group:
    """A VM's groups in all trees."""

    members: tuple[Member, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The directories."""
        return tuple(member.path for member in self.members)

    @property
    def limits(self) -> frozenset[str]:
        """The limits that hold."""
        return frozenset[str]().union(*(member.limits for member in self.members))


def discover(mountinfo: str, own: str) -> list[Hierarchy]:
    """Return the trees in which this process may make groups, from ``/proc/self/mountinfo`` and ``/proc/self/cgroup``.

    Groups are made below our own where that can be, so that limits laid on us hold for our VMs too. Version 2 does not
    let a group with processes in it hand its controllers on, so there it is the nearest ancestor that can.
    """
    groups = _own_groups(own)
    found: list[Hierarchy] = []
    taken: set[str] = set()
    for root, mount, kind, options in _mounts(mountinfo):
        if kind == "cgroup":
            for controller in _V1_CONTROLLERS:
                if controller in options and controller in groups and controller not in taken:
                    base = _below(mount, root, groups[controller])
                    if base is not None and os.access(base, os.W_OK):
                        taken.add(controller)
                        _join(found, base, controller)
    for root, mount, kind, _ in _mounts(mountinfo):
        if kind == "cgroup2" and "" in groups and not taken.issuperset((*_V2_CONTROLLERS, "freezer")):
            base = _below(mount, root, groups[""])
            chosen = None if base is None else _version_2(base, mount, frozenset(_V2_CONTROLLERS) - taken)
            if chosen is not None:
                found.append(chosen)
            break
    return found


def expected(hierarchies: Iterable[Hierarchy]) -> tuple[str, ...]:
    """Return which limits these trees can hold a VM to."""
    controllers = frozenset[str]().union(*(hierarchy.controllers for hierarchy in hierarchies))
    names = {"cpu": "cpus", "memory": "memory_mib", "pids": "pids"}
    return tuple(limit for controller, limit in names.items() if controller in controllers)


def planned(hierarchies: Iterable[Hierarchy], name: str) -> tuple[str, ...]:
    """Return the directories that ``make`` would make."""
    return tuple(os.path.join(hierarchy.base, PARENT, name) for hierarchy in hierarchies)


def make(hierarchies: Iterable[Hierarchy], name: str, vm: VM) -> Group:
    """Make the VM's groups and set the limits of space. What the host refuses is left out."""
    made: list[Member] = []
    for hierarchy in hierarchies:
        path = os.path.join(hierarchy.base, PARENT, name)
        try:
            _make_directory(path, hierarchy)
        except OSError:
            continue
        settings = _settings(vm, hierarchy)
        limits = frozenset(limit for limit, files in settings.items() if limit != "cpus" and _set(path, files))
        made.append(Member(path, limits, hierarchy))
    return Group(tuple(made))


def enter(group: Group) -> frozenset[str]:
    """Move this thread into the groups of version 1 and return which: what it starts is then in them from the outset.

    To move another process, the kernel waits until every processor has seen it, ten milliseconds; a thread that moves
    itself costs nothing. Version 2 does not let a thread leave its process.
    """
    entered = set()
    for member in group.members:
        if not member.hierarchy.is_v2:
            with suppress(OSError):
                _write(f"{member.path}/tasks", "0")
                entered.add(member.path)
    return frozenset(entered)


def put(group: Group, vm: VM, pids: Iterable[int], *, entered: frozenset[str] = frozenset()) -> Group:
    """Put processes into the groups they are not in yet, and return the groups that hold them.

    Only now is their time limited: before, it would be that of our own thread too.
    """
    members, holding = tuple(pids), []
    for member in group.members:
        held = member.limits
        try:
            if member.path not in entered:
                for pid in members:
                    _write(f"{member.path}/cgroup.procs", str(pid))
            time = _settings(vm, member.hierarchy).get("cpus")
            if time is not None and _set(member.path, time):
                held |= {"cpus"}
        except OSError:
            held = frozenset()
        holding.append(Member(member.path, held, member.hierarchy))
    return Group(tuple(holding))


def remove(paths: Iterable[str]) -> list[str]:
    """Remove groups, and the one above when it was the last in it. Return those that still have processes in them."""
    left = []
    for path in paths:
        if not _is_ours(path):
            continue
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            left.append(path)
            continue
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))
    return left


def members(paths: Iterable[str]) -> frozenset[int]:
    """Return the pids of all processes in these groups. One of ours may be among them: see ``enter``."""
    return frozenset(int(pid) for path in paths for pid in _read(f"{path}/cgroup.procs").split() if _is_ours(path))


def names(hierarchies: Iterable[Hierarchy]) -> Iterable[str]:
    """Yield the names of all VMs' groups."""
    for hierarchy in hierarchies:
        with suppress(OSError):
            for entry in os.scandir(os.path.join(hierarchy.base, PARENT)):
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name


def _is_ours(path: str) -> bool:
    """Say whether this can be a group of a VM, whatever a file says."""
    return PurePosixPath(path).parent.name == PARENT


def _mounts(mountinfo: str) -> Iterable[tuple[str, str, str, list[str]]]:
    """Yield (root, mount point, type, options) of each mounted tree of groups."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if len(fields) >= 6 and len(tail) >= 3 and tail[0] in ("cgroup", "cgroup2"):
            yield _unescaped(fields[3]), _unescaped(fields[4]), tail[0], tail[2].split(",")


def _unescaped(text: str) -> str:
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text


def _own_groups(text: str) -> Mapping[str, str]:
    """Return the group of this process by controller; the name of version 2 is empty."""
    groups = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                groups[controller] = parts[2]
    return groups


def _below(mount: str, root: str, group: str) -> str | None:
    """Return where ``group`` is under a mount that shows the tree from ``root`` on."""
    if root.startswith("/.."):  # a mount from outside our cgroup namespace: its names mean nothing here
        return None
    path, top = PurePosixPath(group), PurePosixPath(root)
    inside = path.relative_to(top) if top == path or top in path.parents else PurePosixPath()
    if ".." in inside.parts:
        return None
    return str(PurePosixPath(mount) / inside)


def _join(found: list[Hierarchy], base: str, controller: str) -> None:
    """Add a controller of version 1; several may share one tree."""
    for index, hierarchy in enumerate(found):
        if os.path.realpath(hierarchy.base) == os.path.realpath(base):
            found[index] = Hierarchy(hierarchy.base, hierarchy.controllers | {controller}, False)
            return
    found.append(Hierarchy(base, frozenset({controller}), False))


def _version_2(own: str, mount: str, wanted: frozenset[str]) -> Hierarchy | None:
    best: Hierarchy | None = None
    path = PurePosixPath(own)
    for base in (path, *path.parents):
        if not base.is_relative_to(mount):
            break
        # A process may be moved only by who may write in the group above both its old and its new one.
        if not (os.access(base, os.W_OK) and os.access(base / "cgroup.procs", os.W_OK)):
            break
        controllers = _handed_on(str(base), wanted)
        if best is None or len(controllers) > len(best.controllers):
            best = Hierarchy(str(base), controllers, True)
        if controllers >= wanted:
            break
    return best


def _handed_on(base: str, wanted: frozenset[str]) -> frozenset[str]:
    """Return which of the controllers groups below ``base`` have, enabling what may be."""
    there = frozenset(_read(f"{base}/cgroup.controllers").split())
    enabled = frozenset(_read(f"{base}/cgroup.subtree_control").split())
    for controller in (wanted & there) - enabled:
        with suppress(OSError):
            _write(f"{base}/cgroup.subtree_control", f"+{controller}")
            enabled |= {controller}
    return wanted & enabled


def _make_directory(path: str, hierarchy: Hierarchy) -> None:
    parent = os.path.dirname(path)
    for _ in range(4):  # the last VM's end may remove the parent in between
        with suppress(FileExistsError):
            os.mkdir(parent, 0o755)
        if hierarchy.is_v2:
            _handed_on(parent, hierarchy.controllers)
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            return
        except FileNotFoundError:
            continue
        return
    raise OSError(errno.EBUSY, "the parent of the control groups comes and goes", parent)


def _settings(vm: VM, hierarchy: Hierarchy) -> dict[str, list[tuple[str, str, bool]]]:
    """Return for each limit the files to write, as (name, value, whether it must succeed)."""
    quota, memory, pids = max(1000, int(vm.cpus * _PERIOD_US)), str(vm.memory_mib << 20), str(vm.pids + _OWN_PIDS)
    if hierarchy.is_v2:
        settings = {
            "cpu": ("cpus", [("cpu.max", f"{quota} {_PERIOD_US}", True)]),
            "memory": ("memory_mib", [("memory.max", memory, True), ("memory.swap.max", "0", False)]),
            "pids": ("pids", [("pids.max", pids, True)]),
        }
    else:
        settings = {
            "cpu": ("cpus", [("cpu.cfs_period_us", str(_PERIOD_US), True), ("cpu.cfs_quota_us", str(quota), True)]),
            "memory": (
                "memory_mib",
                [
                    # A repeat may lower the limit, and memory alone may never be above memory and swap.
                    ("memory.limit_in_bytes", memory, True),
                    ("memory.memsw.limit_in_bytes", memory, False),
                    ("memory.swappiness", "0", False),
                ],
            ),
            "pids": ("pids", [("pids.max", pids, True)]),
        }
    return {limit: files for controller, (limit, files) in settings.items() if controller in hierarchy.controllers}


def _set(path: str, files: Iterable[tuple[str, str, bool]]) -> bool:
    for name, value, must in files:
        try:
            _write(f"{path}/{name}", value)
        except OSError:
            if must:
                return False
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode("ascii"))
    finally:
        os.close(fd)
