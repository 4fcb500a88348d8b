"""What a VM sees as its root: the host's programs, read-only, and little else of the host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from aetherium.drivers.vmm.bubblewrap import etc
from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import DISKS, Disk
from aetherium.drivers.vmm.bubblewrap.mounts import Opened
from aetherium.drivers.vmm.bubblewrap.staging import Staging
from aetherium.model.vm import VM

PLACE: Final = "/.aetherium"
AGENT: Final = f"{PLACE}/agent"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UID: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a VM gets to see: its own disk, a copy of the host's ``/etc``, the agent, what its owner mounts."""

    vm: VM
    disk: Disk
    etc: Path
    agent: int
    mounts: list[Opened]


def arguments(fds: Descriptors, staging: Staging, view: View) -> list[str]:
    """Return bwrap's arguments that make the VM's tree, in order, opening what they need into ``fds``."""
    words = [*_programs(), *staging.bind(view.etc, "/etc", read_only=True)]
    words += ["--perms", "0755", "--dir", PLACE, *_own(fds, view.vm, view.disk)]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path, mode in (("/dev/shm", "1777"), ("/run", "0755")):  # noqa: S108 (the VM's)
        words += ["--perms", mode, "--size", str(view.vm.memory_mib << 20), "--tmpfs", path]
    words += ["--symlink", "../run", "/var/run", "--dir", "/opt", "--dir", "/srv", "--dir", "/mnt"]
    for name, (path, _) in DISKS.items():
        words += staging.bind(view.disk.root / name, path)
    for mount in view.mounts:
        words += staging.bind_fd(mount.fd, mount.target, read_only=mount.read_only)
    words += staging.bind_fd(view.agent, AGENT, read_only=True)
    # Last, because bwrap still makes the places of mounts in them.
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/"]


def environment(vm: VM) -> list[str]:
    """Return bwrap's arguments for the agent's environment. A VM's own variables come with each command: an
    argument could be read by every user of the host."""
    values = {
        "PATH": PATH,
        "HOME": "/home/user",
        "USER": "user",
        "LOGNAME": "user",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "AETHERIUM_VM": vm.id,
    }
    return ["--clearenv", *(word for name, value in values.items() for word in ("--setenv", name, value))]


def _own(fds: Descriptors, vm: VM, disk: Disk) -> list[str]:
    hosts = f"127.0.0.1 localhost {vm.id}\n::1 localhost ip6-localhost ip6-loopback\n"
    contents = {"hosts": hosts.encode(), "hostname": f"{vm.id}\n".encode(), "machine-id": disk.machine_id()}
    words = []
    for name in etc.OWN:
        words += ["--perms", "0644", "--file", str(fds.data(contents[name])), f"{PLACE}/{name}"]
    return words


@cache
def _programs() -> tuple[str, ...]:
    """Return bwrap's arguments for the host's programs: looked up once, for it never changes."""
    words = ["--ro-bind", "/usr", "/usr"]
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    return tuple(words)
