"""An event loop in a thread of its own, and the way into it for threads that wait.

Each call, iteration and context is an errand: one task in the loop, so that task groups and deadlines are left by the
task that entered them, and one thread that waits for it. An interrupt of the waiting thread (KeyboardInterrupt, or
whatever a signal handler raises) cancels the task, waits for its clean-up and then goes on; a second one stops waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from aetherium.model.errors import Conflict, Internal

T = TypeVar("T")
F = TypeVar("F")


@dataclass(slots=True)
class _Answer:
    """What the loop hands to the waiting thread: a value on the way, or (``last``) the end."""

    value: Any = None
    error: BaseException | None = None
    last: bool = True


class _Errand:
    """A task in the loop and the thread that waits for it."""

    def __init__(self, portal: Portal) -> None:
        self.ended = threading.Event()
        self.heard: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self._portal = portal
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._task: asyncio.Task[_Answer] | None = None

    # For the waiting thread.

    def exchange(self, function: Callable[..., object], *args: object) -> _Answer:
        """Run a function in the loop and wait for what the task answers. Raises what the task raised."""
        answer = self.ask(function, *args)
        self.check(answer)
        return answer

    def ask(self, function: Callable[..., object], *args: object) -> _Answer:
        """Run a function in the loop and wait for what the task answers."""
        try:
            self._portal.post(function, *args)
            return self._answers.get()
        except BaseException:
            self.cancel()
            self.ended.wait()
            raise

    def leave(self) -> None:
        """Cancel the task and wait for its clean-up. Raises what the clean-up raised."""
        self.cancel()
        if self._portal.is_own_thread():
            return  # a forgotten iterator or context, collected in the loop's thread: that must not wait for itself
        while not (answer := self._answers.get()).last:
            pass
        if not isinstance(answer.error, asyncio.CancelledError):
            self.check(answer)

    def cancel(self) -> None:
        """Ask the task to end; repeatable."""
        self._portal.post(self._cancel)

    def check(self, answer: _Answer) -> None:
        """Raise the answer's error, if it is one."""
        # Taken out of the answer and then out of this frame: else error, traceback and frames keep one another alive.
        error, answer.error = answer.error, None
        if error is None:
            return
        try:
            if isinstance(error, asyncio.CancelledError) and self._portal.is_closed:
                raise self._portal.closed_error()
            raise error
        finally:
            del error

    # For the loop.

    def begin(self, work: Callable[[_Errand], Coroutine[Any, Any, Any]]) -> None:
        """Start the task; ``post`` has brought the context variables of the thread."""
        if self._portal.is_closed:  # nobody would cancel it any more
            self.end(_Answer(error=self._portal.closed_error()))
            return
        self._task = asyncio.get_running_loop().create_task(self._run(work))
        self._task.add_done_callback(self._done)

    async def _run(self, work: Callable[[_Errand], Coroutine[Any, Any, Any]]) -> _Answer:
        try:
            return _Answer(await work(self))
        except BaseException as error:  # SystemExit too: asyncio would end the loop, which serves every thread
            return _Answer(error=error)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif not self.ended.is_set():  # ``begin`` would be here: the thread was interrupted before it posted it
            self.end(_Answer(error=asyncio.CancelledError()))

    def _done(self, task: asyncio.Task[_Answer]) -> None:
        self.end(_Answer(error=asyncio.CancelledError()) if task.cancelled() else task.result())

    def hand(self, value: object) -> None:
        """Give the waiting thread a value."""
        self._answers.put(_Answer(value, last=False))

    def end(self, answer: _Answer) -> None:
        """Give the waiting thread the last answer."""
        self._portal.forget(self)
        self._answers.put(answer)
        self.ended.set()


class Portal:
    """A private event loop, open as a context. Any number of threads may call in at once.

    A call from a thread whose own event loop runs works, and blocks that loop.
    """

    def __init__(self, name: str = "aetherium") -> None:
        self.is_closed = False
        self._loop: asyncio.AbstractEventLoop
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name=name)
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        # Insertion and removal are atomic, so no lock: a collected iterator may come here while any line runs.
        self._errands: dict[_Errand, None] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had
            self._loop.close()
            raise
        except BaseException:  # interrupted while it started: it ends by itself
            self.post(self._stop.set)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.is_closed = True
            self.post(self._stop.set)
            self._ended.wait()
        except BaseException:
            self.is_closed = True
            self.post(self._stop.set)
            self._ended.wait()
            raise
        self._thread.join()
        if self._failure is not None and error is None:
            raise self.closed_error()

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # at its end it cancels and collects all
                try:
                    runner.run(self._stop.wait())
                except BaseException as error:
                    self._failure = error
                self.is_closed = True
        except BaseException as error:
            self._failure = error
        finally:
            for errand in list(self._errands):
                errand.end(_Answer(error=self.closed_error()))
            self._ended.set()

    def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Await what ``make`` returns, in the loop, and return its result."""

        async def work(_: _Errand) -> T:
            return await make()

        result: T = self._begin(work)[1].value
        return result

    def run(self, function: Callable[[], T]) -> T:
        """Call a plain function in the loop's thread."""

        async def work(_: _Errand) -> T:
            return function()

        result: T = self._begin(work)[1].value
        return result

    def iterate(self, make: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
        """Iterate over what ``make`` returns, one item when one is asked for. Closing early closes it."""
        errand, answer = self._begin(partial(_iterate, make))
        while not answer.last:
            try:
                yield answer.value
            except BaseException:
                errand.leave()
                raise
            answer = errand.exchange(errand.heard.put_nowait, None)

    @contextmanager
    def hold(self, make: Callable[[], AbstractAsyncContextManager[T]], face: Callable[[T], F]) -> Iterator[F]:
        """Enter what ``make`` returns and leave it with this context; ``face`` is laid over the value."""
        errand, answer = self._begin(partial(_hold, make))
        try:
            yield face(answer.value)
        except GeneratorExit:
            errand.leave()
            raise
        except BaseException as error:
            self._let_go(errand, error)
        else:
            self._let_go(errand, None)

    @contextmanager
    def hold_iterator(
        self, make: Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]]
    ) -> Iterator[Generator[T, None, None]]:
        """Enter what ``make`` returns, whose value is an iterator."""

        def face(items: AsyncIterator[T]) -> Generator[T, None, None]:
            return self.iterate(lambda: items)

        with self.hold(make, face) as shown, closing(shown):
            yield shown

    @contextmanager
    def scope(self) -> Iterator[None]:
        """On leaving, refuse what is new and end whatever began inside and still goes on."""
        before = set(self._errands)
        try:
            yield
        finally:
            self.is_closed = True
            inside = [errand for errand in list(self._errands) if errand not in before]
            for errand in inside:
                errand.cancel()
            for errand in inside:
                errand.ended.wait()

    def _let_go(self, errand: _Errand, error: BaseException | None) -> None:
        try:
            answer = errand.ask(errand.heard.put_nowait, error)
            if not (isinstance(answer.error, asyncio.CancelledError) and self.is_closed):
                errand.check(answer)
            elif error is not None:  # another thread closed the portal, and with it this context
                raise error
        finally:
            del error

    def _begin(self, work: Callable[[_Errand], Coroutine[Any, Any, Any]]) -> tuple[_Errand, _Answer]:
        if self.is_own_thread():
            raise RuntimeError("called from the engine's own thread, which would wait for itself")
        errand = _Errand(self)
        self._errands[errand] = None
        if self.is_closed:  # looked at after the line above: who closes the portal ends what stands there
            self.forget(errand)
            raise self.closed_error()
        return errand, errand.exchange(errand.begin, work)

    # For errands.

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Run a function in the loop soon."""
        with suppress(RuntimeError):  # the loop is closed, and every errand was ended with it
            self._loop.call_soon_threadsafe(partial(function, *args))

    def forget(self, errand: _Errand) -> None:
        """Take an errand that ended off the list."""
        self._errands.pop(errand, None)

    def is_own_thread(self) -> bool:
        """Whether the caller is the loop's thread."""
        return threading.current_thread() is self._thread

    def closed_error(self) -> Exception:
        """Say that nothing can be called any more."""
        if self._failure is None:
            return Conflict("the engine is closed", remedy="call it inside its 'with' block")
        error = Internal(f"the engine's event loop ended: {self._failure!r}")
        error.__cause__ = self._failure
        return error


@contextmanager
def open_portal(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[tuple[Portal, T]]:
    """Open what ``make`` returns in a loop of its own. What is reached through the portal ends before it does."""
    with Portal() as portal, portal.hold(make, lambda value: value) as value, portal.scope():
        yield portal, value


async def _iterate(make: Callable[[], AsyncIterator[T]], errand: _Errand) -> None:
    items = make()
    try:
        async for item in items:
            errand.hand(item)
            del item  # or the item before is kept until the next one comes
            await errand.heard.get()
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _hold(make: Callable[[], AbstractAsyncContextManager[T]], errand: _Errand) -> None:
    async with make() as value:
        errand.hand(value)
        error = await errand.heard.get()
        try:
            if error is not None:
                raise error
        finally:
            del error
