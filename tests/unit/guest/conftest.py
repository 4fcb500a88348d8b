"""Scripted guests, and the proof that a test left nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator

import pytest

from .scripted import DEADLINE_S, ScriptedGuest


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Fail when a test leaves tasks, descriptors or busy threads, or hands an error to nobody."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())  # what other tests of this worker left is not this one's
    yield
    gc.collect()
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others
    assert not unhandled
    assert len(os.listdir("/proc/self/fd")) <= before
    begun = [thread.name for thread in set(threading.enumerate()) - threads]
    assert [name for name in begun if not name.startswith("asyncio_")] == []


@pytest.fixture
async def guest() -> AsyncIterator[ScriptedGuest]:
    """A guest that has said HELLO."""
    guest = await ScriptedGuest.connect()
    yield guest
    await guest.close()


@pytest.fixture
async def bystander() -> AsyncIterator[ScriptedGuest]:
    """Another VM's connection in this process, which still works at the end of the test."""
    guest = await ScriptedGuest.connect("vm-2")
    yield guest
    async with asyncio.timeout(DEADLINE_S):
        answer = asyncio.create_task(guest.connection.ping())
        ping = await guest.receive()
        await guest.send(ping.payload and _pong(ping.payload))
        await answer
    await guest.close()


def _pong(payload: bytes) -> bytes:
    from aetherium.protocol.frames import Frame, FrameType, encode

    return encode(Frame(FrameType.PONG, 0, payload))
