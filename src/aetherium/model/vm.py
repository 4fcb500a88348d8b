"""The VM: what was asked for, what is, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aetherium._util.ids import is_valid_id
from aetherium.model.errors import InvalidArgument


class Isolation(StrEnum):
    """What stands between a VM and the host, strongest first; as a request it is a floor."""

    VM = "vm"
    KERNEL = "kernel"
    CONTAINER = "container"
    NAMESPACE = "namespace"
    NONE = "none"

    @property
    def strength(self) -> int:
        """A number that is higher for stronger isolation."""
        return len(_LADDER) - _LADDER.index(self)

    def meets(self, floor: Isolation) -> bool:
        """Say whether this is at least as strong as ``floor``."""
        return self.strength >= floor.strength


_LADDER = tuple(Isolation)


class Network(StrEnum):
    """What network card a VM has."""

    NONE = "none"
    FULL = "full"


class VMState(StrEnum):
    """Where a VM is.

    Settled: created, running, paused, stopped, failed. Passing: starting, stopping. Final: deleted.
    """

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Mount:
    """A host directory or file that the VM sees at ``target``."""

    source: str
    target: str
    read_only: bool = False

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
                raise InvalidArgument(
                    f"a mount's paths must be absolute and without '..': {path!r}", remedy="give SRC:DST[:ro]"
                )


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why something ended: who decided, by which rule, at which limit, on what evidence, and what to do about it."""

    who: str
    rule: str
    remedy: str
    limit: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VMConfig:
    """What a caller asks for. Fields left None take the configuration's defaults.

    ``cpus`` may be a fraction; ``memory_mib`` and ``pids`` bound all processes of the VM together. ``timeout_s`` is the
    VM's time to live after each start; 0 means none. ``ephemeral`` VMs are deleted when the process that created them
    is gone.
    """

    id: str | None = None
    name: str | None = None
    image: str | None = None
    driver: str | None = None
    isolation: Isolation | None = None
    cpus: float | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    pids: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    network: Network = Network.NONE
    mounts: tuple[Mount, ...] = ()
    timeout_s: float | None = None
    ephemeral: bool = False

    def __post_init__(self) -> None:
        for what, text in (("id", self.id), ("name", self.name)):
            if text is not None and not is_valid_id(text):
                raise InvalidArgument(
                    f"invalid {what} {text!r}",
                    remedy="use 1 to 63 of a-z 0-9 . _ -, beginning and ending with a letter or a digit",
                )
        _check_range("cpus", self.cpus, 0.01, 1024)
        _check_range("memory_mib", self.memory_mib, 16, 16 * 1024 * 1024)
        _check_range("disk_mib", self.disk_mib, 1, 1024 * 1024 * 1024)
        _check_range("pids", self.pids, 8, 4 * 1024 * 1024)
        _check_range("timeout_s", self.timeout_s, 0, 10 * 365 * 86400)
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name + value:
                raise InvalidArgument(f"invalid environment variable {name!r}")
        for name, value in self.labels.items():
            if not name or len(name) > 128 or len(value) > 1024:
                raise InvalidArgument(f"invalid label {name!r}", remedy="1 to 128 characters, the value at most 1024")


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidArgument(f"{name} is {value:g}; it must be from {least:g} to {most:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VM:
    """A VM as the store knows it. ``isolation`` is what really isolates it; ``limits_enforced`` names the limits among
    ``cpus memory_mib pids`` that the host really holds it to. ``env`` is secret-free only if its owner kept it so."""

    id: str
    name: str | None = None
    state: VMState
    desired_state: VMState
    driver: str
    isolation: Isolation
    image: str
    cpus: float
    memory_mib: int
    disk_mib: int | None = None
    pids: int
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    network: Network = Network.NONE
    mounts: tuple[Mount, ...] = ()
    timeout_s: float = 0
    ephemeral: bool = False
    limits_enforced: tuple[str, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    expires_at: datetime | None = None
    stop_reason: StopReason | None = None


@dataclass(frozen=True, slots=True)
class VMStats:
    """What a VM uses now. CPU time and memory are of all its processes together."""

    vm_id: str
    processes: int
    cpu_s: float
    memory_bytes: int
    memory_limit_bytes: int | None
    disk_bytes: int
    disk_free_bytes: int
    uptime_s: float
    execs_running: int
    connections: int


@dataclass(frozen=True, slots=True)
class VMHealth:
    """Whether a VM answers, and how fast."""

    vm_id: str
    state: VMState
    is_healthy: bool
    reason: str
    round_trip_s: float | None = None
