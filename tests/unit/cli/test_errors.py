"""What the user sees of an error, and the exit code."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import pytest

from aetherium.cli.argv import UsageError
from aetherium.cli.errors import Interrupted, OutputFailed, guarded
from aetherium.model import errors as e


def raising(error: BaseException) -> Callable[[], int]:
    """Return work that fails."""

    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("what"), 2),
        (e.NotFound("what"), 125),
        (e.InvalidArgument("what"), 125),
        (e.DeadlineExceeded("what"), 124),
        (e.CommandNotExecutable("what"), 126),
        (e.CommandNotFound("what"), 127),
        (Interrupted(15), 143),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (OutputFailed(OSError(errno.ENOSPC, "No space left on device")), 125),
        (ZeroDivisionError("oops"), 125),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert guarded(raising(error), json=False, verbose=False) == code


def test_an_error_says_what_and_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(e.NotFound("there is no VM 'x'", remedy="look for it")), json=False, verbose=False)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "error: there is no VM 'x'\n       look for it\n"


def test_an_error_of_several_lines_keeps_them(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(e.ConfigInvalid(("a.yaml:1: one", "a.yaml:2: two"))), json=False, verbose=False)
    assert capfd.readouterr().err == "error: a.yaml:1: one\n       a.yaml:2: two\n"


def test_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(e.NotFound("there is no VM 'x'", remedy="look for it")), json=True, verbose=False)
    assert json.loads(capfd.readouterr().err) == {
        "code": "not_found",
        "message": "there is no VM 'x'",
        "remedy": "look for it",
    }


def test_a_defect_is_one_line_and_the_way_to_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(ZeroDivisionError("oops")), json=False, verbose=False)
    err = capfd.readouterr().err
    assert err.startswith("error: internal error: ZeroDivisionError: oops\n")
    assert "-v" in err
    assert "Traceback" not in err


def test_a_defect_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(ZeroDivisionError("oops")), json=False, verbose=True)
    assert "Traceback" in capfd.readouterr().err


def test_no_colours_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    guarded(raising(e.NotFound("x")), json=False, verbose=False)
    assert "\x1b" not in capfd.readouterr().err
