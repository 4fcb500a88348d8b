from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads left: {left}"


class Alarm(Exception):
    """What a program's own signal handler raises."""


def _ring(number: int, frame: object) -> None:
    raise Alarm(number)


@pytest.fixture(params=["ctrl-c", "handler"])
def interrupt(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """The error that ``interrupt_main`` makes the main thread raise."""
    handler = signal.default_int_handler if request.param == "ctrl-c" else _ring
    before = signal.signal(signal.SIGINT, handler)
    yield KeyboardInterrupt if request.param == "ctrl-c" else Alarm
    signal.signal(signal.SIGINT, before)


def interrupt_main() -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)
