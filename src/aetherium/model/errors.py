"""Every error a user can meet.

AetheriumError
├── InvalidArgument         the request can never work: change it
│   └── ConfigInvalid       the configuration: every problem at once
├── NotFound                no such thing
├── AlreadyExists           that id or name is taken
├── Conflict                not in this state, or somebody changed it meanwhile: look again
├── PermissionDenied        not allowed to
├── ResourceExhausted       a limit is reached: disk, memory, processes
├── DeadlineExceeded        it took longer than the caller allows
├── Unsupported             this driver cannot do that
├── Unavailable             it may work later
│   ├── DriverUnavailable   the driver does not work on this host
│   └── GuestUnreachable    the agent in the VM does not answer
├── CommandNotFound         the VM has no such program
├── CommandNotExecutable    there is such a file, but it cannot be run
└── Internal                a defect of ours

Classes say what the caller does next; ``code`` is stable and crosses the wire; ``remedy`` tells a person what to do.
A command that exits non-zero is a result, never an error.
"""

from __future__ import annotations

from typing import ClassVar


class AetheriumError(Exception):
    """Root of all errors the engine raises on purpose."""

    code: ClassVar[str] = "internal"
    default_remedy: ClassVar[str] = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy


class InvalidArgument(AetheriumError):
    """The request can never work as it is."""

    code = "invalid_argument"


class ConfigInvalid(InvalidArgument):
    """The configuration has problems; ``problems`` has all of them, each with file, line and key."""

    code = "config_invalid"

    def __init__(self, problems: tuple[str, ...], *, remedy: str = "") -> None:
        super().__init__("\n".join(problems), remedy=remedy)
        self.problems = problems


class NotFound(AetheriumError):
    """There is no such thing."""

    code = "not_found"


class AlreadyExists(AetheriumError):
    """The id or name is taken."""

    code = "already_exists"


class Conflict(AetheriumError):
    """The thing is not in a state that allows this, or changed meanwhile."""

    code = "conflict"


class PermissionDenied(AetheriumError):
    """The caller, or the VM, may not do that."""

    code = "permission_denied"


class ResourceExhausted(AetheriumError):
    """A limit is reached."""

    code = "resource_exhausted"


class DeadlineExceeded(AetheriumError):
    """It took longer than the caller allows."""

    code = "deadline_exceeded"


class Unsupported(AetheriumError):
    """This driver cannot do that."""

    code = "unsupported"


class Unavailable(AetheriumError):
    """It does not work now and may later."""

    code = "unavailable"


class DriverUnavailable(Unavailable):
    """The driver does not work on this host."""

    code = "driver_unavailable"
    default_remedy = "run 'aetherium doctor' to see what works here and what each driver needs"


class GuestUnreachable(Unavailable):
    """The agent in the VM does not answer."""

    code = "guest_unreachable"
    default_remedy = "see 'aetherium vm status'; 'aetherium vm start' starts a VM that has ended"


class CommandNotFound(AetheriumError):
    """The VM has no such program."""

    code = "command_not_found"


class CommandNotExecutable(AetheriumError):
    """There is such a file, but it cannot be run."""

    code = "command_not_executable"


class Internal(AetheriumError):
    """A defect in the engine or a driver."""

    code = "internal"
    default_remedy = "this is a defect in Aetherium; please report it with the output of the same command with -v"
