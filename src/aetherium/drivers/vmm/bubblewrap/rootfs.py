"""What a VM sees as its root: the host's programs, read-only, and little else of the host."""

from __future__ import annotations

import os
import stat
from functools import cache
from typing import Final

from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import DISKS, Disk
from aetherium.drivers.vmm.bubblewrap.mounts import Opened
from aetherium.drivers.vmm.bubblewrap.staging import Staging
from aetherium.model.vm import VM

AGENT: Final = "/.aetherium/agent"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UID: Final = 1000

_ETC: Final = """
alternatives bash.bashrc ca-certificates.conf crypto-policies debian_version fonts gai.conf host.conf inputrc java
java-8-openjdk java-11-openjdk java-17-openjdk java-21-openjdk java-25-openjdk ld.so.cache ld.so.conf ld.so.conf.d
locale.alias locale.conf locale.gen localtime login.defs lsb-release magic magic.mime mailcap mime.types networks
nsswitch.conf opt/java os-release perl pki/ca-trust/extracted pki/tls/cert.pem pki/tls/certs profile protocols python3
python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 redhat-release rpc services shells ssl/cert.pem
ssl/certs ssl/openssl.cnf terminfo timezone xattr.conf
"""
"""Parts of the host's ``/etc`` that programs need and that hold no secret. Never keys, accounts or names."""

_PASSWD: Final = (
    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
)
_GROUP: Final = b"root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n"
_COPIED_BYTES: Final = 32 * 1024
"""Smaller files are copied: a mount costs bwrap more time than a few pages do."""


def arguments(fds: Descriptors, staging: Staging, vm: VM, disk: Disk, mounts: list[Opened], agent: int) -> list[str]:
    """Return bwrap's arguments that make the VM's tree, in order, opening what they need into ``fds``."""
    words = [*_host(fds), *_generated(fds, vm, disk)]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path, mode in (("/dev/shm", "1777"), ("/run", "0755")):  # noqa: S108 (the VM's)
        words += ["--perms", mode, "--size", str(vm.memory_mib << 20), "--tmpfs", path]
    words += ["--symlink", "../run", "/var/run", "--dir", "/opt", "--dir", "/srv", "--dir", "/mnt"]
    for name, (path, _) in DISKS.items():
        words += staging.bind(disk.root / name, path)
    for mount in mounts:
        words += staging.bind_fd(mount.fd, mount.target, read_only=mount.read_only)
    words += staging.bind_fd(agent, AGENT, read_only=True)
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


def _generated(fds: Descriptors, vm: VM, disk: Disk) -> list[str]:
    hosts = f"127.0.0.1 localhost {vm.id}\n::1 localhost ip6-localhost ip6-loopback\n"
    words = []
    for name, content in (
        ("hosts", hosts.encode()),
        ("hostname", f"{vm.id}\n".encode()),
        ("machine-id", disk.machine_id()),
        ("passwd", _PASSWD),
        ("group", _GROUP),
        ("resolv.conf", b""),
    ):
        words += ["--perms", "0644", "--file", str(fds.data(content)), f"/etc/{name}"]
    return words


def _host(fds: Descriptors) -> list[str]:
    words: list[str] = []
    for kind, source, target in _plan():
        if kind == "file":
            try:
                fd = fds.file(source)
            except OSError:
                continue  # removed since, or not for us to read
            words += ["--perms", "0644", "--file", str(fd), target]
        elif kind == "symlink":
            words += ["--symlink", source, target]
        else:
            words += ["--ro-bind-try", source, target]
    return words


@cache
def _plan() -> tuple[tuple[str, str, str], ...]:
    """Return what of the host is shown, as (kind, source, target): looked up once, for it hardly changes."""
    steps = [("bind", "/usr", "/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        steps += _step(f"/{name}")
    for name in _ETC.split():
        steps += _step(f"/etc/{name}")
    return tuple(steps)


def _step(path: str) -> list[tuple[str, str, str]]:
    try:
        found = os.lstat(path)
    except OSError:
        return []
    if stat.S_ISLNK(found.st_mode):
        return [("symlink", os.readlink(path), path)]
    if not os.access(path, os.R_OK):
        return []
    if stat.S_ISREG(found.st_mode) and found.st_size <= _COPIED_BYTES:
        return [("file", path, path)]
    return [("bind", path, path)]
