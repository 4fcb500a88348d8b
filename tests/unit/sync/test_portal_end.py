"""What is left to a portal that closes, or breaks."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager

import pytest

from aetherium.app.sync.portal import Portal, open_portal
from aetherium.model.errors import Conflict, Internal
from tests.unit.sync.sources import Source, context, explode, nothing


def test_what_is_open_ends_before_the_root_does() -> None:
    log: list[str] = []
    source = Source()

    @asynccontextmanager
    async def root() -> AsyncIterator[str]:
        yield "root"
        log.append("source closed" if source.closed.is_set() else "source open")
        log.append("root closed")

    left = ExitStack()
    with open_portal(root) as (portal, value):
        assert value == "root"
        iterator = portal.iterate(source.items)
        next(iterator)
        left.enter_context(portal.hold(lambda: context(log), str))
    assert log == ["CancelledError", "left by the same task", "source closed", "root closed"]
    with pytest.raises(Conflict, match="closed"):
        next(iterator)
    left.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda portal: portal.call(explode),
        lambda portal: portal.run(lambda: None),
        lambda portal: next(portal.iterate(Source().items)),
        lambda portal: portal.hold(nothing, lambda value: value).__enter__(),
    ],
    ids=["call", "run", "iterate", "hold"],
)
def test_nothing_works_after_the_end(use: Callable[[Portal], object]) -> None:
    with Portal() as portal:
        pass
    with pytest.raises(Conflict, match="closed"):
        use(portal)


def test_a_thread_that_waits_is_told_of_the_end() -> None:
    waiting = threading.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        with open_portal(nothing) as (portal, _):
            called = pool.submit(portal.call, wait)
            assert waiting.wait(10)
        with pytest.raises(Conflict, match="closed"):
            called.result()


def test_calls_that_race_with_the_end_all_return() -> None:
    def knock(portal: Portal, number: int) -> None:
        for _ in range(200):
            assert portal.run(lambda: number) == number

    for _ in range(20):
        with ThreadPoolExecutor(4) as pool:
            with open_portal(nothing) as (portal, _):
                knocking: list[Future[None]] = [pool.submit(knock, portal, number) for number in range(4)]
                portal.run(lambda: None)
            assert all(isinstance(future.exception(), Conflict | None) for future in knocking)


def test_a_call_that_comes_when_the_loop_has_ended_returns() -> None:
    class Late(Portal):
        def post(self, function: Callable[..., object], *args: object) -> None:
            if function.__name__ == "begin":
                self.__exit__(None, None, None)
            super().post(function, *args)

    with Late() as portal, pytest.raises(Conflict, match="closed"):
        portal.run(lambda: None)


def test_a_loop_that_breaks_tells_everybody_why() -> None:
    waiting = threading.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def sabotage() -> None:
        asyncio.get_running_loop().call_soon(sys.exit, 9)
        await asyncio.Event().wait()

    def use(pool: ThreadPoolExecutor) -> None:
        with Portal() as portal:
            called = pool.submit(portal.call, wait)
            assert waiting.wait(10)
            with pytest.raises(Internal):
                portal.call(sabotage)
            with pytest.raises(Internal):
                called.result()

    with ThreadPoolExecutor(1) as pool, pytest.raises(Internal, match="SystemExit") as caught:
        use(pool)
    assert isinstance(caught.value.__cause__, SystemExit)


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"), Portal():
        pytest.fail("opened")
