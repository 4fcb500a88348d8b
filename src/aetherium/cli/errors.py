"""What the user sees when something goes wrong, and with which exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from aetherium.cli.argv import UsageError
from aetherium.cli.channel import BROKEN_PIPE_EXIT, STDERR, err, has_colours
from aetherium.model.errors import AetheriumError

EXIT_USAGE = 2
EXIT_ENGINE = 125


class Interrupted(Exception):
    """A signal ended the work; everything is undone."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class OutputFailed(Exception):
    """Our own output cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.error = error


def guarded(work: Callable[[], int | None], *, json: bool, verbose: bool) -> int:
    """Do the work and return the exit code, whatever happens."""
    try:
        return work() or 0
    except UsageError as error:
        return show(EXIT_USAGE, "usage", error.message, error.remedy, json=json)
    except AetheriumError as error:
        return show_error(error, json=json)
    except Interrupted as error:
        return 128 + error.number
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return BROKEN_PIPE_EXIT
    except OutputFailed as error:
        return show(EXIT_ENGINE, "resource_exhausted", f"cannot write the output: {error}", json=json)
    except Exception as error:
        return _show_defect(error, json=json, verbose=verbose)


def show_error(error: AetheriumError, *, json: bool) -> int:
    """Print an engine's error and return its exit code."""
    from aetherium.protocol.codes import exit_code

    return show(exit_code(error), error.code, error.message, error.remedy, json=json)


def show(exit_code: int, code: str, message: str, remedy: str = "", *, json: bool) -> int:
    """Print an error and return ``exit_code``."""
    if json:
        from json import dumps

        err(dumps({"code": code, "message": message, "remedy": remedy}))
        return exit_code
    label, plain = ("\x1b[1;31m", "\x1b[0m") if has_colours(STDERR) else ("", "")
    lines = message.splitlines() or [""]
    err("\n".join([f"{label}error:{plain} {lines[0]}", *(f"       {line}" for line in lines[1:])]))
    if remedy:
        err(f"       {remedy}")
    return exit_code


def warn(message: str) -> None:
    """Tell the user something that stops nothing."""
    err(f"warning: {message}")


def _show_defect(error: Exception, *, json: bool, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    return show(
        EXIT_ENGINE,
        "internal",
        f"internal error: {type(error).__name__}: {error}",
        "this is a defect in Aetherium; please report it"
        + ("" if verbose else " with the traceback that the same command prints with -v"),
        json=json,
    )
