"""One table from error codes to classes, exit codes and HTTP statuses; and from the guest's errors to ours."""

from __future__ import annotations

from typing import Final

from aetherium.model import errors as e

_CLASSES: Final[tuple[type[e.AetheriumError], ...]] = (
    e.InvalidArgument,
    e.ConfigInvalid,
    e.NotFound,
    e.AlreadyExists,
    e.Conflict,
    e.PermissionDenied,
    e.ResourceExhausted,
    e.DeadlineExceeded,
    e.Unsupported,
    e.Unavailable,
    e.DriverUnavailable,
    e.GuestUnreachable,
    e.CommandNotFound,
    e.CommandNotExecutable,
    e.Internal,
)
CLASS_BY_CODE: Final = {cls.code: cls for cls in _CLASSES}

EXIT_ENGINE: Final = 125
EXIT_TIMED_OUT: Final = 124
EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127
EXIT_CODES: Final = {
    e.CommandNotExecutable.code: EXIT_NOT_EXECUTABLE,
    e.CommandNotFound.code: EXIT_NOT_FOUND,
    e.DeadlineExceeded.code: EXIT_TIMED_OUT,
}

HTTP_STATUS: Final = {
    e.InvalidArgument.code: 400,
    e.ConfigInvalid.code: 400,
    e.PermissionDenied.code: 403,
    e.NotFound.code: 404,
    e.AlreadyExists.code: 409,
    e.Conflict.code: 409,
    e.CommandNotFound.code: 422,
    e.CommandNotExecutable.code: 422,
    e.ResourceExhausted.code: 429,
    e.Internal.code: 500,
    e.Unsupported.code: 501,
    e.Unavailable.code: 503,
    e.DriverUnavailable.code: 503,
    e.GuestUnreachable.code: 503,
    e.DeadlineExceeded.code: 504,
}

_GUEST: Final[dict[str, type[e.AetheriumError]]] = {
    "invalid_argument": e.InvalidArgument,
    "not_found": e.NotFound,
    "already_exists": e.AlreadyExists,
    "permission_denied": e.PermissionDenied,
    "not_a_directory": e.InvalidArgument,
    "is_a_directory": e.InvalidArgument,
    "directory_not_empty": e.Conflict,
    "no_space": e.ResourceExhausted,
    "resource_exhausted": e.ResourceExhausted,
    "command_not_found": e.CommandNotFound,
    "command_not_executable": e.CommandNotExecutable,
    "argument_too_long": e.InvalidArgument,
    "no_such_user": e.InvalidArgument,
    "no_such_directory": e.InvalidArgument,
    "failed_precondition": e.Conflict,
    "unavailable": e.Unavailable,
    "unsupported": e.Unsupported,
}
_GUEST_REMEDIES: Final = {
    "argument_too_long": "one argument may have 128 KiB, all together about 2 MiB: pass the data on stdin or in a file",
    "no_space": "free space in the VM or on the host, or give the VM a larger disk",
    "no_such_directory": "create the directory first, or choose another work directory",
    "command_not_found": "name a program that exists in the VM; a shell's own words need: sh -c '...'",
    "command_not_executable": "make it executable (chmod +x) or name its interpreter",
}


def exit_code(error: e.AetheriumError) -> int:
    """Return the CLI's exit code for an error."""
    return EXIT_CODES.get(error.code, EXIT_ENGINE)


def from_guest(code: str, message: str) -> e.AetheriumError:
    """Return the error for a guest's ``ERROR`` frame. Codes we do not know are unavailable, never trusted further."""
    cls = _GUEST.get(code, e.Unavailable)
    # It ends on terminals and in logs: a guest may not write control characters there.
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in message[:4096])
    return cls(shown, remedy=_GUEST_REMEDIES.get(code, ""))
