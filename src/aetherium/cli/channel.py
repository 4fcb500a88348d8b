"""Text to standard output and standard error, whole or not at all, without Python's buffers in between."""

from __future__ import annotations

import os

BROKEN_PIPE_EXIT = 128 + 13
"""What a program gets whose reader went away, as if SIGPIPE had ended it."""

STDIN, STDOUT, STDERR = 0, 1, 2


def write_all(fd: int, data: bytes) -> None:
    """Write every byte. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def encoded(text: str) -> bytes:
    """Return the bytes of a text; bytes that came in as surrogate escapes go out as they were."""
    return text.encode("utf-8", "surrogateescape")


def out(text: str) -> None:
    """Write a line or several to standard output. Raises OSError, BrokenPipeError when nobody reads."""
    write_all(STDOUT, encoded(text if text.endswith("\n") else text + "\n"))


def err(text: str) -> None:
    """Write a line to standard error; when that is gone there is nobody left to tell."""
    try:  # noqa: SIM105 (contextlib is not worth its import here)
        write_all(STDERR, encoded(text + "\n"))
    except OSError:
        pass


def say(text: str) -> int:
    """Print to standard output and return the exit code."""
    try:
        out(text)
    except BrokenPipeError:
        return BROKEN_PIPE_EXIT
    except OSError as error:
        err(f"error: cannot write to standard output: {error.strerror}")
        return 125
    return 0


def is_terminal(fd: int) -> bool:
    """Say whether a descriptor is a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def has_colours(fd: int) -> bool:
    """Say whether to use colours: on a terminal that is not dumb, unless NO_COLOR is set (no-color.org)."""
    return is_terminal(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
