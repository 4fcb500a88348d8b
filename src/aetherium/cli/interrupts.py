"""Signals to the CLI: the first goes to the command that runs, or else ends our work; more of them press on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aetherium.cli.errors import Interrupted

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)
_PATIENCE = 3


class Interrupts:
    """Listens for signals on behalf of one task.

    While a command runs in the foreground the first signal is passed on to it. Without one, and from the second signal
    on, the task is cancelled, and what it began is undone. The third leaves at once: what is left then is found and
    removed by whatever opens the engine next.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._number: int | None = None
        self._count = 0
        self._forward: Callable[[int], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the body runs; turn the cancellation a signal caused into Interrupted."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._on, int(number))
        try:
            yield
        except asyncio.CancelledError:
            if self._number is None:
                raise
            raise Interrupted(self._number) from None
        finally:
            for number in ENDING:
                loop.remove_signal_handler(number)

    @contextmanager
    def forwarding(self, forward: Callable[[int], None]) -> Iterator[None]:
        """Pass signals on while the body runs."""
        loop = asyncio.get_running_loop()
        self._forward = forward
        for number in PASSED_ON:
            loop.add_signal_handler(number, forward, int(number))
        try:
            yield
        finally:
            self._forward = None
            for number in PASSED_ON:
                loop.remove_signal_handler(number)

    def _on(self, number: int) -> None:
        self._count += 1
        if self._forward is not None and self._count == 1:
            self._forward(number)
            return
        if self._count >= _PATIENCE:
            os._exit(128 + number)
        self._number = number
        if self._task is not None:
            self._task.cancel()
