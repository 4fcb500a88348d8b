"""A VM's directory on the host: what it keeps, and what its machine leaves there.

::

    <state_dir>/vms/<id>/            0700, the host's
        disk/{workspace,home,...}    the VM's, kept over stop and start
        machine-id                   drawn once
        agent.sock                   the agent's listener, bound by the host
        console.log                  what bwrap and the agent print
        info.json                    what bwrap tells of itself, so that a crash of ours loses nothing
        cgroups.json                 the cgroups made for it, written before they are
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aetherium.drivers.vmm.bubblewrap.failures import in_words
from aetherium.model.errors import NotFound

DISKS: Final = {
    "workspace": ("/workspace", 0o755),
    "home": ("/home/user", 0o700),
    "tmp": ("/tmp", 0o1777),  # noqa: S108 (the VM's)
    "var-tmp": ("/var/tmp", 0o1777),  # noqa: S108 (the VM's)
}
"""Writable directories: name on the host -> path in the VM, mode."""

CONSOLE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """The directory of one VM."""

    path: Path

    @property
    def console(self) -> Path:
        """The file with what the machine printed."""
        return self.path / "console.log"

    @property
    def info(self) -> Path:
        """The file where ``bwrap`` writes its JSON."""
        return self.path / "info.json"

    @property
    def socket(self) -> Path:
        """The agent's socket; too long a path to bind, see ``channel``."""
        return self.path / "agent.sock"

    @property
    def cgroups(self) -> Path:
        """The list of cgroups made for this VM."""
        return self.path / "cgroups.json"

    @property
    def root(self) -> Path:
        """What holds the VM's own files."""
        return self.path / "disk"

    def owner(self) -> int:
        """Return the host uid that the VM's files belong to. Raises NotFound."""
        try:
            return os.stat(self.root, follow_symlinks=False).st_uid
        except FileNotFoundError:
            raise NotFound(f"VM {self.path.name} has no disk", remedy="create the VM again") from None

    def machine_id(self) -> bytes:
        """Return the VM's ``/etc/machine-id``."""
        return (self.path / "machine-id").read_bytes()

    def make(self, uid: int | None) -> None:
        """Make everything that is missing; the VM's part belongs to ``uid`` (None: to us). Repeatable."""
        with in_words(f"making the disk of VM {self.path.name}"):
            _directory(self.path, 0o700, None)
            _directory(self.root, 0o700, uid)
            for name, (_, mode) in DISKS.items():
                _directory(self.root / name, mode, uid)
            if not (self.path / "machine-id").exists():
                (self.path / "machine-id").write_text(secrets.token_hex(16) + "\n", encoding="ascii")

    def unlock(self) -> None:
        """Give the VM back its own directories, should it have locked itself out: else it would never start again."""
        for name in DISKS:
            fd = os.open(self.root / name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                mode = stat.S_IMODE(os.fstat(fd).st_mode)
                if mode & 0o700 != 0o700:
                    os.chmod(f"/proc/self/fd/{fd}", mode | 0o700)
            finally:
                os.close(fd)

    def clear_run(self) -> None:
        """Remove what belongs to one run of the machine."""
        for path in (self.socket, self.info):
            path.unlink(missing_ok=True)

    def trim_console(self) -> None:
        """Keep the console from growing without end: its writers append, so it may be cut at any time."""
        with suppress(OSError):
            if self.console.stat().st_size > CONSOLE_BYTES:
                os.truncate(self.console, 0)

    def last_words(self) -> str:
        """Return the end of what the machine printed."""
        try:
            with open(self.console, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def told(self) -> str:
        """Return what ``bwrap`` told of itself."""
        return _text(self.info)

    def epitaph(self, oom_kills: int) -> str:
        """Return how the machine ended, as far as ``bwrap`` and the kernel wrote it down."""
        code = re.search(r'"exit-code": *(\d+)', self.told())
        words = [f"its agent ended with exit code {code[1]}" if code else "its first process is gone"]
        if oom_kills:
            words.append(f"the kernel killed {oom_kills} of its processes for memory")
        return ", ".join(words)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _directory(path: Path, mode: int, uid: int | None) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if uid is not None and found.st_uid != uid:
            os.fchown(fd, uid, uid)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(fd, mode)
    finally:
        os.close(fd)
