"""A command, what it printed, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from aetherium.model.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Size of a terminal in characters, each 1 to 65535."""

    rows: int = 24
    cols: int = 80


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A POSIX resource limit: soft and hard value."""

    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run in a VM: a program and its arguments, never a shell line.

    ``env`` is laid over the VM's environment; ``cwd`` starts from the VM's work directory; ``user`` is a name or
    ``uid[:gid]``. With ``tty`` the command gets a terminal and stdout and stderr are one stream. ``timeout_s`` kills
    the command's whole process group. ``ring_bytes`` (4 KiB to 64 MiB) bounds the output kept for a later attach.
    """

    program: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    tty: TerminalSize | None = None
    timeout_s: float | None = None
    ring_bytes: int | None = None
    rlimits: Mapping[str, Rlimit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.args, str | bytes):
            raise InvalidArgument("Command.args is a list of arguments, not one string")
        words = (self.program, *self.args, *self.env, *self.env.values(), self.cwd or "", self.user or "")
        if not self.program:
            raise InvalidArgument("a command needs a program")
        if any("\0" in word for word in words):
            raise InvalidArgument("a command's words cannot contain the NUL character")
        if any(not name or "=" in name for name in self.env):
            raise InvalidArgument("an environment variable's name cannot be empty or contain '='")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise InvalidArgument("a command's timeout must be more than 0 seconds")

    @classmethod
    def script(cls, text: str, *, env: Mapping[str, str] | None = None, cwd: str | None = None) -> Command:
        """Return a command that runs ``text`` with the VM's ``sh -c``: the one way to get a shell."""
        return cls("sh", ("-c", text), env=env or {}, cwd=cwd)

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return (self.program, *self.args)


class Channel(StrEnum):
    """Where output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Output:
    """Some output. ``offset`` counts the bytes of this channel before it, from the start of the command."""

    channel: Channel
    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a command ended. A command that a signal ended has ``exit_code`` 128 + ``signal``."""

    exit_code: int
    signal: int | None
    timed_out: bool
    started_at: datetime
    duration_s: float
    stdout_bytes: int
    stderr_bytes: int


@dataclass(frozen=True, slots=True)
class ExecResult:
    """A finished command with its output, whole unless ``truncated``.

    ``timed_out`` commands have exit code 124.
    """

    exit_code: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    signal: int | None
    timed_out: bool
    truncated: bool
    started_at: datetime
    duration_s: float

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Standard error as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")


class ExecState(StrEnum):
    """Whether a command still runs."""

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Exec:
    """A command in a VM, as the VM's agent knows it. Byte counts are of everything it ever printed;
    ``stdout_start`` and ``stderr_start`` are the oldest offsets still kept."""

    id: str
    vm_id: str
    argv: tuple[str, ...]
    state: ExecState
    pid: int
    background: bool
    exit_code: int | None
    signal: int | None
    timed_out: bool
    started_at: datetime
    duration_s: float
    stdout_bytes: int
    stderr_bytes: int
    stdout_start: int = 0
    stderr_start: int = 0
