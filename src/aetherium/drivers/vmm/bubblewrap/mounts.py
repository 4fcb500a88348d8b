"""Host directories and files that a user gives to a VM, and those that nobody may."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import DISKS, Disk
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import Mount

_SEALED_TARGETS: Final = "/proc /dev /sys /usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc /run /.aetherium"
_SEALED_SOURCES: Final = "/proc /sys /dev"
_CONTROLS: Final = """
/run/docker.sock /run/docker /run/podman /run/containerd /run/crio /run/systemd /run/dbus /run/user
/var/run/docker.sock /var/lib/docker /var/lib/containers /var/lib/containerd
"""
"""Whoever talks to these, or writes in them, is root on the host."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that was checked and is held open, so that it is what gets mounted."""

    fd: int
    target: str
    read_only: bool
    is_directory: bool


def opened(fds: Descriptors, mounts: Iterable[Mount], state_dir: Path) -> list[Opened]:
    """Check all mounts and open their sources. Raises InvalidArgument."""
    result: list[Opened] = []
    for mount in mounts:
        target = _checked_target(mount, [PurePosixPath(other.target) for other in result])
        fd = _opened_source(fds, mount, state_dir)
        result.append(Opened(fd, str(target), mount.read_only, stat.S_ISDIR(os.fstat(fd).st_mode)))
    return result


def prepare(disk: Disk, uid: int | None, mounts: Iterable[Opened]) -> None:
    """Make the places of mounts that lie in the VM's own directories.

    ``bwrap`` would make them too, but it follows symbolic links, which the VM could have laid to places of the host.
    """
    for mount in mounts:
        target = PurePosixPath(mount.target)
        for name, (path, _) in DISKS.items():
            if PurePosixPath(path) in target.parents:
                _prepare(disk.root / name, target.relative_to(path), uid, mount)


def _checked_target(mount: Mount, others: list[PurePosixPath]) -> PurePosixPath:
    target = PurePosixPath(os.path.normpath(mount.target))
    if target == PurePosixPath("/") or str(target).startswith("//"):
        raise InvalidArgument("nothing can be mounted over the root of a VM", remedy="mount it below, say at /data")
    for sealed in map(PurePosixPath, _SEALED_TARGETS.split()):
        if _overlap(target, sealed):
            raise InvalidArgument(f"nothing can be mounted at {target}: {sealed} is part of the VM", remedy="use /data")
    for path, _ in DISKS.values():
        if target in PurePosixPath(path).parents:
            raise InvalidArgument(f"a mount at {target} would hide {path}", remedy=f"mount it below {target}")
    for other in others:
        if _overlap(target, other):
            raise InvalidArgument(f"mounts at {other} and {target} overlap", remedy="mount them side by side")
    return target


def _opened_source(fds: Descriptors, mount: Mount, state_dir: Path) -> int:
    try:
        fd = fds.keep(os.open(mount.source, os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        raise InvalidArgument(
            f"{mount.source} cannot be mounted: {error.strerror}", remedy="give a directory or file that exists"
        ) from error
    # What was opened, with every link resolved: the checks are on this, and this is what gets mounted.
    path = PurePosixPath(os.readlink(f"/proc/self/fd/{fd}"))
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise InvalidArgument(f"{path} is neither a directory nor a file", remedy="mount a directory or a file")
    if path == PurePosixPath("/"):
        raise InvalidArgument("the root of the host cannot be mounted", remedy="mount a directory of your own")
    forbidden = [(PurePosixPath(sealed), "is the host's own") for sealed in _SEALED_SOURCES.split()]
    forbidden += [(PurePosixPath(os.path.realpath(control)), "controls the host") for control in _CONTROLS.split()]
    forbidden.append((PurePosixPath(os.path.realpath(state_dir)), "is the state directory of all VMs"))
    for place, why in forbidden:
        if _overlap(path, place):
            raise InvalidArgument(f"{path} cannot be mounted: {place} {why}", remedy="mount a directory of your own")
    return fd


def _overlap(one: PurePosixPath, other: PurePosixPath) -> bool:
    return one == other or one in other.parents or other in one.parents


def _prepare(base: Path, relative: PurePosixPath, uid: int | None, mount: Opened) -> None:
    fd = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for name in relative.parts[:-1]:
            fd = _entered(fd, name, uid)
        if mount.is_directory:
            fd = _entered(fd, relative.name, uid)
        else:
            _touched(fd, relative.name, uid)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR):
            raise InvalidArgument(
                f"cannot mount at {mount.target}: something else is in the way in the VM",
                remedy="remove it, or mount somewhere else",
            ) from error
        raise
    finally:
        os.close(fd)


def _entered(parent: int, name: str, uid: int | None) -> int:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        made = True
    except FileExistsError:
        made = False
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    if made and uid is not None:
        os.fchown(fd, uid, uid)
    os.close(parent)
    return fd


def _touched(parent: int, name: str, uid: int | None) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(name, flags | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=parent)
        if uid is not None:
            os.fchown(fd, uid, uid)
    except FileExistsError:
        fd = os.open(name, flags | os.O_PATH, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, "not a file")
    finally:
        os.close(fd)
