"""The census sees each kind of thing that can be left behind, and names it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aetherium.testing.census import Census, Signs, leaks
from aetherium.testing.requirements import promised, requires

_WAIT = "import sys; sys.stdin.read()"


async def found(before: Census, signs: Signs) -> str:
    return "\n".join(await leaks(before, signs, patience_s=0))


async def test_nothing(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    assert await leaks(Census.first(signs), signs) == []


async def test_a_child(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    with subprocess.Popen([sys.executable, "-c", _WAIT], stdin=subprocess.PIPE) as child:
        seen = await found(before, signs)
        assert f"process {child.pid} (" in seen
    assert await leaks(before, signs) == []


async def test_a_zombie(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert f"process {child.pid} (a zombie of ours)" in await found(before, signs)
    child.wait()
    assert await leaks(before, signs) == []


@pytest.mark.parametrize("where", ["argument", "environment"])
async def test_a_process_that_left_us(tmp_path: Path, where: str) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    reading, writing = os.pipe()
    # A shell that ends at once leaves its background job to init.
    leave = f"{sys.executable} -c '{_WAIT}' \"$@\" <&0 >/dev/null 2>&1 & echo $!"
    left = subprocess.run(
        ["sh", "-c", leave, "sh", *([str(tmp_path)] if where == "argument" else [])],
        stdin=reading,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **({"MARK": str(tmp_path)} if where == "environment" else {})},
        check=True,
    )
    os.close(reading)
    seen = await found(before, signs)
    os.close(writing)
    assert f"process {left.stdout.strip()} (" in seen
    assert await leaks(before, signs) == []


async def test_files_and_named_directories(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,), names=frozenset({"vm-1"}))
    before = Census.first(signs)
    (tmp_path / "skeleton").mkdir()
    assert await leaks(before, signs, patience_s=0) == []
    (tmp_path / "vms" / "vm-1").mkdir(parents=True)
    (tmp_path / "skeleton" / "log").touch()
    assert set((await found(before, signs)).splitlines()) == {
        f"file {tmp_path}/vms/vm-1",
        f"file {tmp_path}/skeleton/log",
    }


async def test_a_socket(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    with socket.socket() as leaked:
        assert f"descriptor {leaked.fileno()} -> socket:" in await found(before, signs)


async def test_a_task_and_a_thread(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="forgotten-thread")
    thread.start()
    task = asyncio.create_task(asyncio.Event().wait(), name="forgotten-task")
    seen = await found(before, signs)
    done.set()
    thread.join()
    task.cancel()
    await asyncio.wait([task])
    assert "thread forgotten-thread" in seen
    assert "task forgotten-task (Event.wait" in seen
    assert await leaks(before, signs) == []


async def test_it_waits_for_what_is_about_to_go(tmp_path: Path) -> None:
    signs = Signs(places=(tmp_path,))
    before = Census.first(signs)
    (tmp_path / "file").touch()
    asyncio.get_running_loop().call_later(0.05, (tmp_path / "file").unlink)
    assert await leaks(before, signs) == []


def test_what_was_not_promised_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERIUM_REQUIRE", "other")
    with pytest.raises(pytest.skip.Exception):
        requires("kvm", unmet="there is no kvm")
    requires("kvm", unmet=None)


def test_what_was_promised_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AETHERIUM_REQUIRE", "other, kvm")
    with pytest.raises(pytest.fail.Exception, match="there is no kvm"):
        requires("kvm", unmet="there is no kvm")
    requires("kvm", unmet=None)
    assert promised(" a,, b ") == {"a", "b"}
