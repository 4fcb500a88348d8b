"""The user's terminal, handed to a command in a VM."""

from __future__ import annotations

import asyncio
import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aetherium.model.command import TerminalSize


def size_of(fd: int) -> TerminalSize:
    """Return a terminal's size; that of a VT100 where it has none."""
    try:
        found = os.get_terminal_size(fd)
    except OSError:
        return TerminalSize()
    if not found.lines or not found.columns:
        return TerminalSize()
    return TerminalSize(rows=found.lines, cols=found.columns)


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Pass every key on untouched while the body runs; put the terminal back as it was, however the body ends."""
    before = termios.tcgetattr(fd)
    loop = asyncio.get_running_loop()

    def again() -> None:
        # The shell that had the terminal while we were stopped has set it to its own liking.
        with suppress(termios.error):
            tty.setraw(fd, termios.TCSADRAIN)

    loop.add_signal_handler(signal.SIGCONT, again)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        with suppress(termios.error):  # the terminal is gone: nothing to restore
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def on_resize(fd: int, tell: Callable[[TerminalSize], None]) -> Iterator[None]:
    """Call ``tell`` with the new size whenever the terminal's changes."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, lambda: tell(size_of(fd)))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
