"""Errors on their way from guests to people and programs."""

from __future__ import annotations

import pytest

from aetherium.model import errors
from aetherium.protocol.codes import CLASS_BY_CODE, EXIT_CODES, HTTP_STATUS, exit_code, from_guest


def test_every_class_has_a_code_and_a_status() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.AetheriumError)
    }
    assert set(CLASS_BY_CODE.values()) == defined - {errors.AetheriumError}
    assert HTTP_STATUS.keys() == CLASS_BY_CODE.keys()
    assert EXIT_CODES.keys() <= CLASS_BY_CODE.keys()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CommandNotFound("x"), 127),
        (errors.CommandNotExecutable("x"), 126),
        (errors.DeadlineExceeded("x"), 124),
        (errors.NotFound("x"), 125),
        (errors.Internal("x"), 125),
    ],
)
def test_exit_codes(error: errors.AetheriumError, code: int) -> None:
    assert exit_code(error) == code


def test_a_guest_writes_no_control_characters_to_terminals() -> None:
    error = from_guest("not_found", "no\x1b[2Jsuch\rfile\u202e")
    assert all(character.isprintable() for character in error.message)
    assert error.message.startswith("no")


def test_a_code_nobody_knows_is_not_trusted() -> None:
    assert type(from_guest("internal_secret", "x")) is errors.Unavailable
