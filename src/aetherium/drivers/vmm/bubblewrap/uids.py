"""The host uid that a VM runs as, when root starts it.

A process whose uid outside is 0 passes the permission checks of files that root owns, ``/proc/sys`` among them, even
with no capability at all. So each VM gets a uid of its own, which owns nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aetherium.drivers.vmm.bubblewrap.config import Config
from aetherium.model.errors import ResourceExhausted

_NEEDED: Final = {"chown": 0, "dac_override": 1, "setgid": 6, "setuid": 7, "sys_admin": 21}
"""Capabilities, by number, without which a root cannot start something as another uid out of its own directories."""


def must_drop() -> bool:
    """Say whether this process has uids to give away: it is a full root, and not in a namespace of one uid only."""
    return os.geteuid() == 0 and _is_capable() and available(Config(), mapped()) is not None


def _is_capable() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            held = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError):
        return False
    return all(held >> number & 1 for number in _NEEDED.values())


def mapped() -> list[tuple[int, int]]:
    """Return the ranges of uids that exist for this process, as (first, count)."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            rows = [line.split() for line in file]
        return [(int(first), int(count)) for first, _, count in rows]
    except (OSError, ValueError):
        return [(0, 2**32 - 1)]


def available(config: Config, ranges: Iterable[tuple[int, int]]) -> range | None:
    """Return the uids for VMs: those configured where they exist, else the upper half of the largest range that does.

    None when there is none but our own.
    """
    wanted = range(config.uid_base, config.uid_base + config.uid_count)
    largest = range(0)
    for first, count in ranges:
        if first <= wanted.start and wanted.stop <= first + count:
            return wanted
        largest = max(largest, range(first, first + count), key=len)
    upper = range(largest.start + len(largest) // 2, largest.stop)
    return upper if len(largest) >= 16 else None


def choose(uids: range, taken: set[int]) -> int:
    """Return the lowest uid that no VM has. Raises ResourceExhausted."""
    for uid in uids:
        if uid not in taken:
            return uid
    raise ResourceExhausted(f"all {len(uids)} uids for VMs are taken", remedy="delete VMs or raise 'uid_count'")


def taken(vms: Path) -> set[int]:
    """Return the owners of the disks of all VMs in ``vms``."""
    owners = set()
    for directory in os.scandir(vms):
        try:
            owners.add(os.stat(os.path.join(directory.path, "disk"), follow_symlinks=False).st_uid)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return owners
