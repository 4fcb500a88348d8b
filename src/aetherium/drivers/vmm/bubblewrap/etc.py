"""The ``/etc`` of all VMs: a copy of those parts of the host's that programs need and that hold no secret.

It is copied, once for each state the host's is in, because mounting some thirty pieces takes ``bwrap`` longer than all
the rest. What differs from VM to VM is a symbolic link to where ``rootfs`` puts it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from aetherium.drivers.vmm.bubblewrap import processes, removal

OWN: Final = ("hosts", "hostname", "machine-id")
"""What each VM has of its own, in ``/.aetherium``."""

_SHOWN: Final = """
alternatives bash.bashrc ca-certificates.conf crypto-policies debian_version fonts gai.conf host.conf inputrc java
java-8-openjdk java-11-openjdk java-17-openjdk java-21-openjdk java-25-openjdk ld.so.cache ld.so.conf ld.so.conf.d
locale.alias locale.conf locale.gen localtime login.defs lsb-release magic magic.mime mailcap mime.types networks
nsswitch.conf opt/java os-release perl pki/ca-trust/extracted pki/tls/cert.pem pki/tls/certs profile protocols python3
python3.9 python3.10 python3.11 python3.12 python3.13 python3.14 redhat-release rpc services shells ssl/cert.pem
ssl/certs ssl/openssl.cnf terminfo timezone xattr.conf
"""
"""Never keys, accounts, names of the host or of its users."""

_WRITTEN: Final = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
    "nobody:x:65534:65534::/nonexistent:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
    "resolv.conf": "",
}
_LARGEST_FILE: Final = 4 * 1024 * 1024
_GRACE_S: Final = 3600.0
_FORMAT: Final = "1"
"""To be raised with every change to what is copied."""


def directories(configured: str | None, state_dir: Path) -> tuple[Path, ...]:
    """Return where copies may be kept, best first: in the place for what can be made again at any time."""
    if configured is not None:
        return (Path(configured),)
    if os.geteuid() == 0:
        return Path("/var/cache/aetherium/etc"), state_dir / "etc"
    try:
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return (state_dir / "etc",)
    return home / ".cache" / "aetherium" / "etc", state_dir / "etc"


def provided(places: tuple[Path, ...]) -> Path:
    """Return a directory that is as the host's ``/etc`` is now, in the first place that allows it. Raises OSError."""
    for copies in places[:-1]:
        with suppress(OSError):
            return _provided(copies)
    return _provided(places[-1])


def _provided(copies: Path) -> Path:
    path = copies / _state()
    with suppress(FileNotFoundError):
        os.utime(path)  # so that _prune leaves it
        return path
    copies.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="making-", dir=copies))
    try:
        _fill(scratch)
        scratch.chmod(0o755)
        with suppress(OSError):  # unless another was faster
            scratch.rename(path)
    finally:
        removal.remove(scratch)
    _prune(copies, path)
    return path


def _state() -> str:
    """Return a name for the state that the host's ``/etc`` is in, as far as it is shown."""
    digest = hashlib.sha256(_FORMAT.encode())
    for name in _SHOWN.split():
        with suppress(OSError):
            found = os.lstat(f"/etc/{name}")
            digest.update(f"{name} {found.st_ino} {found.st_mtime_ns} {found.st_size}\n".encode())
    return digest.hexdigest()[:16]


def _fill(directory: Path) -> None:
    for name in _SHOWN.split():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(f"/etc/{name}", f"{directory}/{name}")
    for name, content in _WRITTEN.items():
        (directory / name).write_text(content, encoding="ascii")
    for name in OWN:
        (directory / name).symlink_to(f"../.aetherium/{name}")
    for parent, _, _ in os.walk(directory):
        os.chmod(parent, 0o755)  # noqa: S103 (VMs read it as other uids)


def _copy(source: str, target: str) -> None:
    """Copy links as links, files with their text only, and leave out what is not for everybody to read."""
    try:
        found = os.lstat(source)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source), target)
        elif stat.S_ISREG(found.st_mode) and found.st_mode & 0o004 and found.st_size <= _LARGEST_FILE:
            shutil.copyfile(source, target, follow_symlinks=False)
            os.chmod(target, 0o755 if found.st_mode & 0o001 else 0o644)
        elif stat.S_ISDIR(found.st_mode) and found.st_mode & 0o005 == 0o005:
            os.mkdir(target)
            for entry in _entries(source):
                _copy(f"{source}/{entry}", f"{target}/{entry}")
    except (FileNotFoundError, PermissionError):
        return  # gone meanwhile, or not for us


def _entries(directory: str) -> Iterator[str]:
    for name in os.listdir(directory):
        if not name.endswith(".gz"):  # a thousand manual pages in alternatives
            yield name


def _prune(copies: Path, current: Path) -> None:
    """Remove copies that no VM has been started with for long, and that no VM which runs still sees."""
    old = [path for path in copies.iterdir() if path != current and _age_s(path) > _GRACE_S]
    seen = _seen_by_somebody() if old else ""
    for path in old:
        if path.name not in seen:
            with suppress(OSError):
                removal.remove(path)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0


def _seen_by_somebody() -> str:
    """Return what every process has mounted."""
    tables = set()
    for pid in processes.pids():
        with suppress(OSError):
            tables.add(Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace"))
    return "".join(tables)
