"""Finding what belongs to a VM by the mark that it carries, whatever was written down."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aetherium.drivers.vmm.bubblewrap import processes
from aetherium.drivers.vmm.bubblewrap.processes import Process

_WORD = "aetherium-vm:"


@dataclass(frozen=True, slots=True)
class Mark:
    """Names the VMs of one state directory on this host, in command lines and cgroups."""

    text: str

    @classmethod
    def of(cls, state_dir: Path) -> Mark:
        """Return the mark of ``state_dir``, the same for every process that uses it."""
        return cls(hashlib.sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()[:12])

    def word(self, vm_id: str) -> str:
        """Return the argument that the VM's processes carry."""
        return f"{_WORD}{self.text}:{vm_id}"

    def cgroup(self, vm_id: str) -> str:
        """Return the name of the VM's cgroups."""
        return f"{self.text}.{vm_id}"

    def vm_of_cgroup(self, name: str) -> str | None:
        """Return whose cgroup this is, None when it is not ours."""
        mark, _, vm_id = name.partition(".")
        return vm_id if mark == self.text and vm_id else None


@dataclass(frozen=True, slots=True)
class Found:
    """A process that carries our mark. ``is_init`` is a VM's first process, ``is_agent`` once it runs the agent; the
    rest wait for it, outside."""

    vm_id: str
    process: Process
    is_init: bool
    is_agent: bool


def search(mark: Mark, uids: frozenset[int] | None = None) -> Iterator[Found]:
    """Yield every process of this host that carries ``mark``.

    A program in a VM may give itself such a name, so a process in a VM counts only when it is the first of a pid
    namespace, which it cannot make; and ``uids``, if given, are the only owners believed.
    """
    prefix = f"{_WORD}{mark.text}:".encode()
    for pid in processes.pids():
        words = processes.words_in_time(pid)
        named = next((word for word in words if word.startswith(prefix)), None)
        if named is None:
            continue
        before, owner = processes.look(pid), _owner_and_depth(pid)
        if before is None or owner is None or not before.is_alive:
            continue
        uid, depth, inner = owner
        if (uids is not None and uid not in uids) or (depth > 1 and inner != 1):
            continue
        vm_id = os.fsdecode(named.removeprefix(prefix))
        is_init = depth > 1
        yield Found(vm_id, Process(pid, before.started), is_init, is_init and words[0] == named)


def _owner_and_depth(pid: int) -> tuple[int, int, int] | None:
    """Return a process's uid, how many pid namespaces it is in, and its pid in the innermost."""
    uid = depth = inner = None
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Uid:"):
                    uid = int(line.split()[1])
                elif line.startswith(b"NSpid:"):
                    numbers = line.split()[1:]
                    depth, inner = len(numbers), int(numbers[-1])
    except (OSError, ValueError):
        return None
    return None if uid is None or depth is None or inner is None else (uid, depth, inner)


def is_inside(pid: int) -> bool:
    """Say whether a process is in a pid namespace below ours, as all in a VM are and no engine is."""
    owner = _owner_and_depth(pid)
    return owner is not None and owner[1] > 1


def recorded(info: str) -> Process | None:
    """Return the first process of the VM of which ``bwrap`` wrote ``info``, if that is still there."""
    try:
        data, _ = json.JSONDecoder().raw_decode(info)
        pid, namespace = int(data["child-pid"]), int(data["pid-namespace"])
        process = processes.identify(pid)
        return process if os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace else None
    except (ValueError, KeyError, TypeError, OSError):
        return None


def end_all(find: Callable[[], Iterable[Process]], *, timeout_s: float = 5.0) -> bool:
    """Kill what ``find`` finds and block until it finds nothing. Say whether that was reached."""
    for _ in range(20):
        found = set(find())
        if not found:
            return True
        processes.kill_and_wait(found, timeout_s=timeout_s)
    return False
