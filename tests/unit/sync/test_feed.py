from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Iterable, Iterator

import pytest

from aetherium.app.sync.feed import fed
from aetherium.app.sync.portal import Portal


@pytest.fixture
def portal() -> Iterator[Portal]:
    with Portal() as portal:
        yield portal


async def read(source: AsyncIterable[bytes]) -> list[bytes]:
    return [item async for item in source]


async def read_one(source: AsyncIterable[bytes]) -> bytes:
    async for item in source:
        return item
    raise AssertionError("nothing came")


def numbers() -> Iterator[bytes]:
    for number in range(1000):
        yield b"%d" % number


@pytest.mark.parametrize("source", [b"whole", None])
def test_bytes_and_nothing_pass_as_they_are(source: bytes | None) -> None:
    with fed(source) as same:
        assert same is source


@pytest.mark.parametrize("source", [[b"a", b"b"], (b"a", b"b"), iter([b"a", b"b"]), {b"a": 1, b"b": 2}])
def test_any_iterable_is_read(portal: Portal, source: Iterable[bytes]) -> None:
    with fed(source) as items:
        assert portal.call(lambda: read(items)) == [b"a", b"b"]


def test_items_come_in_order(portal: Portal) -> None:
    with fed(numbers()) as items:
        assert portal.call(lambda: read(items)) == list(numbers())


def test_an_input_left_early_leaves_no_thread(portal: Portal) -> None:
    with fed(numbers()) as items:
        assert portal.call(lambda: read_one(items)) == b"0"
    assert not [thread for thread in threading.enumerate() if thread.name == "aetherium-input"]


def test_an_input_nobody_reads_starts_no_thread() -> None:
    before = threading.active_count()
    with fed(numbers()):
        assert threading.active_count() == before


def test_an_iterable_that_waits_keeps_nobody_waiting(portal: Portal) -> None:
    gate = threading.Event()

    def slow() -> Iterator[bytes]:
        # Only another call, made while this iterable waits, opens the gate.
        assert gate.wait(10)
        yield b"late"

    async def read_and_open(source: AsyncIterable[bytes]) -> bytes:
        reading = asyncio.create_task(read_one(source))
        await asyncio.sleep(0)
        gate.set()
        return await reading

    with fed(slow()) as items:
        assert portal.call(lambda: read_and_open(items)) == b"late"


def test_an_iterable_still_waiting_at_the_end_is_not_waited_for(portal: Portal) -> None:
    gate, ended = threading.Event(), threading.Event()

    def stuck() -> Iterator[bytes]:
        gate.wait(30)
        ended.set()
        yield b"too late"

    async def give_up(source: AsyncIterable[bytes]) -> None:
        reading = asyncio.create_task(read_one(source))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    with fed(stuck()) as items:
        portal.call(lambda: give_up(items))
    assert not ended.is_set()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "aetherium-input")
    gate.set()
    thread.join(10)
    assert not thread.is_alive()


class Boom(Exception):
    pass


@pytest.mark.parametrize(
    ("raised", "seen"), [(Boom("mine"), Boom), (SystemExit(1), RuntimeError), (KeyboardInterrupt(), RuntimeError)]
)
def test_an_error_of_the_iterable_reaches_the_reader(
    portal: Portal, raised: BaseException, seen: type[Exception]
) -> None:
    def failing() -> Iterator[bytes]:
        yield b"first"
        raise raised

    with fed(failing()) as items, pytest.raises(seen) as caught:
        portal.call(lambda: read(items))
    assert raised in (caught.value, caught.value.__cause__)
    assert portal.run(lambda: "alive") == "alive"


def test_an_iterable_that_cannot_be_iterated_over_is_an_error(portal: Portal) -> None:
    class Odd:
        def __iter__(self) -> Iterator[bytes]:
            raise StopIteration

    with fed(Odd()) as items, pytest.raises(RuntimeError, match="the input raised"):
        portal.call(lambda: read(items))
