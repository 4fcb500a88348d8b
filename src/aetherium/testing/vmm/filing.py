"""Files of a VM from outside."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import AetheriumError, AlreadyExists, Conflict, InvalidArgument, NotFound
from aetherium.model.files import ChangeType, FileChange, FileType
from aetherium.model.vm import VM
from aetherium.testing.vmm.bench import Bench, within

_ODD = "spaces 'quotes' \"and\" ünïcödé\nnewline \udcff"


class FileChecks(Bench):
    """Read, write, list, change, watch."""

    @pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)), os.urandom(3_000_000)], ids=len)
    async def test_what_is_written_is_read(self, engine: Engine, vm: VM, data: bytes) -> None:
        assert await engine.files.write(vm.id, "file", data) == len(data)
        assert await engine.files.read(vm.id, "file") == data
        seen = await engine.vms.exec(vm.id, Command.script("wc -c < file | tr -d ' '"))
        assert seen.stdout == f"{len(data)}\n"

    async def test_parts(self, engine: Engine, vm: VM) -> None:
        await engine.files.write(vm.id, "file", b"0123456789")
        assert await engine.files.read(vm.id, "file", offset=3, length=4) == b"3456"
        assert await engine.files.read(vm.id, "file", offset=8) == b"89"
        assert await engine.files.read(vm.id, "file", offset=99) == b""
        await engine.files.write(vm.id, "file", b"ab", append=True)
        assert await engine.files.read(vm.id, "file") == b"0123456789ab"

    async def test_a_write_that_fails_leaves_the_old_file(self, engine: Engine, vm: VM) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"new"
            raise RuntimeError("no more")

        await engine.files.write(vm.id, "file", b"old")
        with pytest.raises(RuntimeError, match="no more"):
            await within(10, engine.files.write(vm.id, "file", pieces()))
        assert await engine.files.read(vm.id, "file") == b"old"
        assert [entry.name for entry in await engine.files.list(vm.id)] == ["file"]

    async def test_entries(self, engine: Engine, vm: VM) -> None:
        script = "echo 12345 > file; mkdir directory; ln -s file link; mkfifo fifo; chmod 640 file"
        await engine.vms.exec(vm.id, Command.script(script))
        entries = {entry.name: entry for entry in await engine.files.list(vm.id)}
        assert {name: entry.type for name, entry in entries.items()} == {
            "file": FileType.FILE,
            "directory": FileType.DIRECTORY,
            "link": FileType.SYMLINK,
            "fifo": FileType.FIFO,
        }
        assert (entries["file"].size, entries["file"].mode, entries["link"].target) == (6, 0o640, "file")
        assert (await engine.files.stat(vm.id, "link")).type is FileType.FILE
        assert (await engine.files.stat(vm.id, "link", follow=False)).type is FileType.SYMLINK

    async def test_odd_names(self, engine: Engine, vm: VM) -> None:
        await engine.files.write(vm.id, _ODD, b"x")
        assert [entry.name for entry in await engine.files.list(vm.id)] == [_ODD]
        assert (await engine.vms.exec(vm.id, Command("cat", [_ODD]))).stdout == "x"
        await engine.files.remove(vm.id, _ODD)
        assert await engine.files.list(vm.id) == ()

    async def test_make_move_mode_remove(self, engine: Engine, vm: VM) -> None:
        files = engine.files
        await files.make_directory(vm.id, "a/b/c", parents=True)
        await files.make_directory(vm.id, "a/b/c", parents=True)
        with pytest.raises(AlreadyExists):
            await files.make_directory(vm.id, "a")
        await files.write(vm.id, "a/b/c/file", b"#!/bin/sh\necho ran\n", mode=0o700)
        assert (await engine.vms.exec(vm.id, Command("a/b/c/file"))).stdout == "ran\n"
        await files.chmod(vm.id, "a/b/c/file", 0o600)
        assert (await files.stat(vm.id, "a/b/c/file")).mode == 0o600
        await files.move(vm.id, "a/b/c/file", "a/moved")
        assert (await files.stat(vm.id, "a/moved")).size == 19
        with pytest.raises(Conflict):
            await files.remove(vm.id, "a")
        await files.remove(vm.id, "a", recursive=True)
        await files.remove(vm.id, "a", missing_ok=True)
        with pytest.raises(NotFound):
            await files.remove(vm.id, "a")

    async def test_what_is_refused(self, engine: Engine, vm: VM) -> None:
        await engine.files.write(vm.id, "file", b"x")
        wrong: list[tuple[type[AetheriumError], object]] = [
            (NotFound, engine.files.read(vm.id, "missing")),
            (NotFound, engine.files.list(vm.id, "missing")),
            (NotFound, engine.files.write(vm.id, "no/such/parent", b"x")),
            (InvalidArgument, engine.files.list(vm.id, "file")),
            (InvalidArgument, engine.files.read(vm.id, ".")),
            (InvalidArgument, engine.files.stat(vm.id, "nul\0byte")),
        ]
        for error, call in wrong:
            with pytest.raises(error):
                await within(10, call)  # type: ignore[arg-type]
        await engine.vms.stop(vm.id, force=True)
        with pytest.raises(Conflict):
            await engine.files.read(vm.id, "file")

    async def test_watching(self, engine: Engine, vm: VM) -> None:
        await engine.files.make_directory(vm.id, "watched")
        async with engine.files.watch(vm.id, "watched") as changes:
            await engine.vms.exec(
                vm.id, Command.script("echo x > watched/new; mv watched/new watched/old; rm watched/old")
            )
            seen: list[FileChange] = []
            while not seen or seen[-1].type is not ChangeType.REMOVED:
                seen.append(await within(10, anext(changes)))
        kinds = [(change.type, change.path) for change in seen]
        assert (ChangeType.CREATED, "new") in kinds
        assert (ChangeType.MOVED_FROM, "new") in kinds
        assert (ChangeType.MOVED_TO, "old") in kinds
        assert kinds[-1] == (ChangeType.REMOVED, "old")


class TreeChecks(Bench):
    """Whole directories in and out."""

    @pytest.fixture
    def here(self, tmp_path: Path) -> Path:
        """Return a directory of the host with things in it."""
        here = tmp_path / "here"
        (here / "sub" / "empty").mkdir(parents=True)
        (here / "file").write_bytes(b"one\n")
        (here / "sub" / "run").write_bytes(b"#!/bin/sh\necho ran\n")
        (here / "sub" / "run").chmod(0o755)
        (here / "sub" / ("long" * 40)).write_bytes(b"two\n")
        (here / "sub" / "link").symlink_to("../file")
        (here / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"three\n")
        return here

    async def test_in_and_out_again(self, engine: Engine, vm: VM, here: Path, tmp_path: Path) -> None:
        await engine.files.upload(vm.id, here, "there")
        assert (await engine.vms.exec(vm.id, Command("there/sub/run"))).stdout == "ran\n"
        assert (await engine.vms.exec(vm.id, Command("cat", ["there/sub/link"]))).stdout == "one\n"
        back = tmp_path / "back"
        await engine.files.download(vm.id, "there", back)
        assert contents(back) == contents(here)

    async def test_one_file(self, engine: Engine, vm: VM, here: Path, tmp_path: Path) -> None:
        await engine.files.upload(vm.id, here / "file", "copy")
        assert await engine.files.read(vm.id, "copy") == b"one\n"
        await engine.files.download(vm.id, "copy", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"one\n"

    async def test_many_files(self, engine: Engine, vm: VM, tmp_path: Path) -> None:
        made = "mkdir many; n=0; while [ $n -lt 500 ]; do echo $n > many/$n; n=$((n+1)); done"
        await engine.vms.exec(vm.id, Command.script(made))
        await within(30, engine.files.download(vm.id, "many", tmp_path / "many"))
        assert {path.name: path.read_text() for path in (tmp_path / "many").iterdir()} == {
            str(n): f"{n}\n" for n in range(500)
        }


def contents(top: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return what is below a directory: mode and bytes, or target."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(top.rglob("*")):
        name, mode = str(path.relative_to(top)), stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = (0, os.readlink(path))
        elif path.is_dir():
            found[name] = (mode, "directory")
        else:
            found[name] = (mode, path.read_bytes())
    return found
