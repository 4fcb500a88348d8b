from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from aetherium.app.sync.portal import Portal, open_portal
from tests.unit.sync.conftest import interrupt_main
from tests.unit.sync.sources import Boom, Source, context, explode, nothing, slowly


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


def test_a_result_comes_back(portal: Portal) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    assert portal.call(lambda: add(1, 2)) == 3


def test_an_error_comes_as_itself_with_its_traceback(portal: Portal) -> None:
    thrown = Boom("this one")

    async def throw() -> None:
        raise thrown

    with pytest.raises(Boom) as caught:
        portal.call(throw)
    assert caught.value is thrown
    assert "throw" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_error_is_not_kept_alive(portal: Portal) -> None:
    seen: list[weakref.ref[Boom]] = []
    gc.disable()
    try:
        for use in (lambda: portal.call(explode), lambda: next(portal.iterate(exploding)), lambda: hold(portal)):
            try:
                use()
            except Boom as error:
                seen.append(weakref.ref(error))
            portal.run(lambda: None)
            assert seen.pop()() is None
    finally:
        gc.enable()


async def exploding() -> AsyncIterator[int]:
    await explode()
    yield 1


def hold(portal: Portal) -> None:
    with portal.hold(nothing, lambda value: value):
        raise Boom


def test_a_plain_function_runs_in_the_loop(portal: Portal) -> None:
    assert portal.run(asyncio.get_running_loop) is portal.call(lambda: _loop())
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_the_callers_context_variables_are_seen(portal: Portal) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")
    assert portal.run(variable.get) == "mine"


def test_many_threads_wait_at_once(portal: Portal) -> None:
    meeting = asyncio.Barrier(20)

    async def meet(number: int) -> int:
        await meeting.wait()
        return number

    def visit(number: int) -> int:
        return portal.call(lambda: meet(number))

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(visit, range(20))) == list(range(20))


def test_a_call_from_the_loops_own_thread_is_refused(portal: Portal) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        portal.run(lambda: portal.run(lambda: None))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_an_error_that_would_end_the_loop_does_not(portal: Portal, error: BaseException) -> None:
    async def throw() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        portal.call(throw)
    assert caught.value is error
    assert portal.run(lambda: "alive") == "alive"


def test_threads_of_the_loop_end_with_it() -> None:
    with Portal() as portal:
        name = portal.call(lambda: asyncio.to_thread(lambda: threading.current_thread().name))
        assert name != threading.current_thread().name


# Interrupts.


async def interrupted(log: list[str]) -> None:
    interrupt_main()
    try:
        await asyncio.Event().wait()
    finally:
        await slowly(log, "cleaned up")


def test_an_interrupt_cancels_the_call_and_waits_for_its_clean_up(
    portal: Portal, interrupt: type[BaseException]
) -> None:
    log: list[str] = []
    with pytest.raises(interrupt):
        portal.call(lambda: interrupted(log))
    assert log == ["cleaned up"]
    assert portal.run(lambda: "alive") == "alive"


def test_a_second_interrupt_stops_waiting(interrupt: type[BaseException]) -> None:
    log: list[str] = []
    gate = asyncio.Event()

    async def stubborn() -> None:
        interrupt_main()
        try:
            await asyncio.Event().wait()
        finally:
            interrupt_main()
            await gate.wait()
            log.append("cleaned up")

    with Portal() as portal:
        with pytest.raises(interrupt):
            portal.call(stubborn)
        assert log == []
        portal.run(gate.set)
    assert log == ["cleaned up"]


def test_an_interrupt_while_iterating_closes_the_iterator(portal: Portal, interrupt: type[BaseException]) -> None:
    log: list[str] = []

    async def items() -> AsyncIterator[int]:
        yield 1
        await interrupted(log)

    iterator = portal.iterate(items)
    assert next(iterator) == 1
    with pytest.raises(interrupt):
        next(iterator)
    assert log == ["cleaned up"]
    assert list(iterator) == []


def test_an_interrupt_while_entering_leaves_nothing(portal: Portal, interrupt: type[BaseException]) -> None:
    log: list[str] = []

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        await interrupted(log)
        yield

    with pytest.raises(interrupt), portal.hold(context, lambda value: value):
        pytest.fail("entered")
    assert log == ["cleaned up"]


def test_an_interrupted_body_leaves_its_contexts(interrupt: type[BaseException]) -> None:
    log: list[str] = []

    @asynccontextmanager
    async def root() -> AsyncIterator[str]:
        try:
            yield "root"
        except BaseException as error:
            log.append(type(error).__name__)
            raise
        finally:
            await slowly(log, "closed")

    with pytest.raises(interrupt), open_portal(root):
        raise interrupt
    assert log == [interrupt.__name__, "closed"]


def test_an_interrupt_at_the_end_waits_for_the_clean_up(interrupt: type[BaseException]) -> None:
    log: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            interrupt_main()
            await slowly(log, "cleaned up")

    def use() -> None:
        with Portal() as portal:
            left.append(portal.iterate(items))
            next(left[0])

    left: list[Generator[int, None, None]] = []
    with pytest.raises(interrupt):
        use()
    assert log == ["cleaned up"]
    left[0].close()


# Iterators.


def test_items_come_in_order_and_the_end_is_the_end(portal: Portal) -> None:
    source = Source()
    assert list(portal.iterate(source.items)) == list(range(100))
    assert source.closed.is_set()


def test_an_item_is_made_when_it_is_asked_for(portal: Portal) -> None:
    source = Source()
    iterator = portal.iterate(source.items)
    assert source.given == []
    next(iterator)
    next(iterator)
    portal.call(lambda: slowly([], ""))
    assert source.given == [0, 1]
    iterator.close()


def test_leaving_a_loop_early_runs_the_clean_up(portal: Portal) -> None:
    source = Source()
    for number in portal.iterate(source.items):
        if number == 3:
            break
    assert source.closed.is_set()


def test_an_iterator_is_closed_by_the_task_that_began_it(portal: Portal) -> None:
    source = Source()
    iterator = portal.iterate(source.items)
    next(iterator)
    next(iterator)
    iterator.close()
    assert len(source.tasks) == 1


def test_an_error_in_an_iterator_comes_as_itself(portal: Portal) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise Boom

    iterator = portal.iterate(items)
    assert next(iterator) == 1
    with pytest.raises(Boom):
        next(iterator)


def test_an_error_in_the_clean_up_of_an_early_close_is_raised(portal: Portal) -> None:
    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            raise Boom

    iterator = portal.iterate(items)
    next(iterator)
    with pytest.raises(Boom):
        iterator.close()


def test_an_iterator_that_is_no_generator_can_be_left(portal: Portal) -> None:
    class Numbers:
        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            return 7

    iterator = portal.iterate(Numbers)
    assert [next(iterator), next(iterator)] == [7, 7]
    iterator.close()


def test_an_iterator_forgotten_in_the_loops_thread_is_closed_and_stops_nobody(portal: Portal) -> None:
    source = Source()
    held = [portal.iterate(source.items)]
    next(held[0])
    portal.run(held.clear)
    assert source.closed.wait(10)


# Contexts.


def test_a_context_is_left_by_the_task_that_entered_it(portal: Portal) -> None:
    log: list[str] = []
    with portal.hold(lambda: context(log), str.upper) as value:
        assert value == "VALUE"
        assert log == []
    assert log == ["left by the same task"]


def test_the_bodys_error_reaches_the_context_and_comes_out_as_itself(portal: Portal) -> None:
    log: list[str] = []
    thrown = Boom()
    with pytest.raises(Boom) as caught, portal.hold(lambda: context(log), str):
        raise thrown
    assert caught.value is thrown
    assert log == ["Boom", "left by the same task"]


def test_a_context_may_swallow_the_error(portal: Portal) -> None:
    log: list[str] = []
    with portal.hold(lambda: context(log, swallow=Boom), str):
        raise Boom
    assert log == ["Boom", "left by the same task"]


def test_a_context_inside_a_generator_is_left_when_that_is_closed(portal: Portal) -> None:
    log: list[str] = []

    def numbers() -> Iterator[int]:
        with portal.hold(lambda: context(log), str):
            yield 1

    for _ in numbers():
        break
    assert log == ["CancelledError", "left by the same task"]


def test_an_error_on_entering_comes_as_itself(portal: Portal) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        await explode()
        yield

    with pytest.raises(Boom), portal.hold(broken, lambda value: value):
        pytest.fail("entered")


def test_what_fails_inside_a_context_is_raised_when_it_is_left(portal: Portal) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(explode())
                yield
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    with pytest.raises(Boom), portal.hold(failing, lambda value: value):
        portal.call(lambda: slowly([], ""))


def test_an_iterator_in_a_context_is_closed_before_the_context(portal: Portal) -> None:
    source = Source()
    closed_first: list[bool] = []

    @asynccontextmanager
    async def subscription() -> AsyncIterator[AsyncIterator[int]]:
        yield source.items()
        closed_first.append(source.closed.is_set())

    with portal.hold_iterator(subscription) as items:
        assert next(items) == 0
    assert closed_first == [True]
