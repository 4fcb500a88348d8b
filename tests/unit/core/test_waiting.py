"""Deadlines, work that is not cancelled, task groups that raise what happened."""

from __future__ import annotations

import asyncio

import pytest

from aetherium._util.tasks import task_group
from aetherium._util.uncancelled import uncancelled
from aetherium.core.deadline import deadline
from aetherium.model.errors import DeadlineExceeded


async def test_a_deadline_names_what_took_too_long() -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        async with deadline(0.01, "digging"):
            await asyncio.Event().wait()
    assert caught.value.message == "digging took longer than 0.01 s"


async def test_a_deadline_leaves_other_timeouts_alone() -> None:
    with pytest.raises(TimeoutError):
        async with deadline(10, "digging"), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with deadline(10, "digging"):
            raise TimeoutError("of somebody else")


async def test_no_deadline() -> None:
    async with deadline(None, "digging"):
        await asyncio.sleep(0)


async def test_a_cancellation_passes_a_deadline() -> None:
    async def work() -> None:
        async with deadline(10, "digging"):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Work:
    """Work that ends when it is told to, and notes whether it was let."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.go = asyncio.Event()
        self.is_done = False
        self._error = error

    async def __call__(self) -> str:
        await self.go.wait()
        self.is_done = True
        if self._error is not None:
            raise self._error
        return "result"


async def test_uncancelled_returns_the_result() -> None:
    work = Work()
    work.go.set()
    assert await uncancelled(work()) == "result"


async def test_uncancelled_raises_the_error() -> None:
    work = Work(ValueError("broken"))
    work.go.set()
    with pytest.raises(ValueError, match="broken"):
        await uncancelled(work())


@pytest.mark.parametrize("error", [None, ValueError("broken")])
@pytest.mark.parametrize("times", [1, 3])
async def test_uncancelled_ends_the_work_before_it_is_cancelled(times: int, error: Exception | None) -> None:
    work = Work(error)
    task = asyncio.create_task(uncancelled(work()))
    await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    work.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done


async def test_uncancelled_work_that_cancels_itself() -> None:
    async def gives_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await uncancelled(gives_up())


async def fails(message: str) -> None:
    raise ValueError(message)


async def test_a_task_group_raises_the_first_error_itself() -> None:
    with pytest.raises(ValueError, match="first"):
        async with task_group() as tasks:
            tasks.create_task(fails("first"))
            await asyncio.Event().wait()


async def test_a_task_group_prefers_the_error_of_its_body() -> None:
    with pytest.raises(KeyError):
        async with task_group() as tasks:
            tasks.create_task(asyncio.Event().wait())
            raise KeyError("mine")


async def test_a_task_group_ends_its_tasks() -> None:
    async with task_group() as tasks:
        ended = tasks.create_task(asyncio.sleep(0, "x"))
    assert ended.result() == "x"
    with pytest.raises(KeyError):
        async with task_group() as tasks:
            forever = tasks.create_task(asyncio.Event().wait())
            raise KeyError("mine")
    assert forever.cancelled()


async def test_a_cancelled_task_group_is_cancelled() -> None:
    async def work() -> None:
        async with task_group() as tasks:
            tasks.create_task(asyncio.Event().wait())
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
