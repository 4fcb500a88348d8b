"""What is special to the SQLite store: its file, its versions, and everything that can go wrong below it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aetherium.drivers.store.sqlite import Config, driver, migrations, open_
from aetherium.model.errors import (
    AetheriumError,
    DeadlineExceeded,
    Internal,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from aetherium.ports.store import VMFilter, VMRecord
from aetherium.testing.requirements import requires
from aetherium.testing.values import vm

A = VMRecord(vm=vm("a", team="x"))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def database(state_dir: Path) -> sqlite3.Connection:
    return sqlite3.connect(state_dir / "aetherium.db", isolation_level=None)


async def opening(state_dir: Path, config: Config = Config()) -> AetheriumError:
    with pytest.raises(AetheriumError) as caught:
        async with open_(config, state_dir=state_dir):
            pass
    assert caught.value.remedy
    return caught.value


# The file


async def test_only_its_owner_may_read_what_it_writes(tmp_path: Path) -> None:
    state_dir = tmp_path / "new" / "state"
    mask = os.umask(0)
    try:
        async with open_(Config(), state_dir=state_dir) as store:
            await store.insert_vm(A)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state_dir.iterdir() if path.is_file()}
    finally:
        os.umask(mask)
    assert modes == {"aetherium.db": 0o600, "aetherium.db-wal": 0o600, "aetherium.db-shm": 0o600}
    assert stat.S_IMODE((state_dir / "locks").stat().st_mode) == 0o700
    assert [path.name for path in state_dir.iterdir() if path.is_file()] == ["aetherium.db"]


async def test_the_database_may_have_another_place(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    for path in ("mine.db", str(elsewhere)):
        async with open_(Config(path=path), state_dir=tmp_path / "state") as store:
            await store.insert_vm(A)
    assert (tmp_path / "state" / "mine.db").exists()
    assert elsewhere.exists()


async def test_it_is_in_wal_mode_and_whole(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        await store.insert_vm(A)
    with closing(database(tmp_path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_labels_of_deleted_vms_are_gone(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        await store.insert_vm(A)
        with closing(database(tmp_path)) as db:
            assert db.execute("SELECT count(*) FROM vm_labels").fetchone() == (1,)
            await store.delete_vm("a")
            assert db.execute("SELECT count(*) FROM vm_labels").fetchone() == (0,)


async def test_labels_and_pages_are_found_by_index(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        for number in range(3):
            await store.insert_vm(VMRecord(vm=vm(f"vm-{number}")))
        after = (await store.list_vms(limit=1)).next
    with closing(database(tmp_path)) as db:
        for where, index in (
            (VMFilter(labels={"a": "b"}), "vm_labels USING PRIMARY KEY"),
            (VMFilter(), "vms_in_order"),
        ):
            sql, values = driver._listing(where, after)
            plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql} LIMIT 5", values))
            assert index in plan
            assert "SCAN vms" not in plan.replace("SCAN vms USING INDEX", "")


# Versions of the schema


def test_the_migrations_are_all_there_and_numbered() -> None:
    directory = Path(migrations.__file__).parent
    assert sorted(directory.glob("*.sql")) == list(migrations.MIGRATIONS)
    assert [int(path.name[:4]) for path in migrations.MIGRATIONS] == list(range(1, len(migrations.MIGRATIONS) + 1))


def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    script = tmp_path / f"{len(migrations.MIGRATIONS) + 1:04}_next.sql"
    script.write_text(sql)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, script))


async def test_an_older_schema_is_migrated_and_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        written = await store.insert_vm(A)
    next_version(tmp_path, monkeypatch, "ALTER TABLE vms ADD COLUMN extra TEXT DEFAULT 'new';\n")
    async with open_(Config(), state_dir=tmp_path) as store:
        assert await store.get_vm("a") == written
        assert (await store.update_vm(written)).revision == 2
    with closing(database(tmp_path)) as db:
        assert db.execute("SELECT extra FROM vms").fetchall() == [("new",)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(migrations.MIGRATIONS),)


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        await store.insert_vm(A)
    with monkeypatch.context() as patch:
        next_version(tmp_path, patch, "ALTER TABLE vms ADD COLUMN extra TEXT;\nDELETE FROM vms;\nSELECT nonsense;\n")
        assert isinstance(await opening(tmp_path), Internal)
    async with open_(Config(), state_dir=tmp_path) as store:
        assert (await store.get_vm("a")).vm == A.vm
    with closing(database(tmp_path)) as db:
        assert "extra" not in [row[1] for row in db.execute("PRAGMA table_info(vms)")]


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path):
        pass
    with closing(database(tmp_path)) as db:
        db.execute("PRAGMA user_version = 99")
    error = await opening(tmp_path)
    assert isinstance(error, Unavailable)
    assert "99" in error.message
    assert "--state-dir" in error.remedy
    with closing(database(tmp_path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (99,)


async def test_many_connections_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    async def one(number: int) -> None:
        async with open_(Config(), state_dir=tmp_path) as store:
            await store.insert_vm(VMRecord(vm=vm(f"vm-{number}")))

    await asyncio.gather(*(one(number) for number in range(12)))
    async with open_(Config(), state_dir=tmp_path) as store:
        assert len((await store.list_vms()).items) == 12
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["aetherium.db"]


# What goes wrong


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "aetherium.db").write_bytes(b"not a database at all" * 100)
    assert isinstance(await opening(tmp_path), Unavailable)
    assert (tmp_path / "aetherium.db").read_bytes().startswith(b"not a database")


async def test_a_damaged_database(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        for number in range(200):
            await store.insert_vm(VMRecord(vm=vm(f"vm-{number}", team="x" * 500)))
    path = tmp_path / "aetherium.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    async with open_(Config(), state_dir=tmp_path) as store:
        with pytest.raises(Unavailable) as caught:
            await store.list_vms()
    assert "backup" in caught.value.remedy


async def test_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        await store.insert_vm(A)
        for damage in ("{", "{}", "[]", "null", '{"id": 5}'):
            with closing(database(tmp_path)) as db:
                db.execute("UPDATE vms SET vm = ?", (damage,))
            with pytest.raises(Unavailable, match="cannot be read"):
                await store.get_vm("a")


async def test_a_directory_in_the_databases_place(tmp_path: Path) -> None:
    (tmp_path / "aetherium.db").mkdir()
    assert isinstance(await opening(tmp_path), PermissionDenied)


async def test_a_file_in_the_state_directorys_place(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert isinstance(await opening(tmp_path / "state"), Unavailable)


async def test_a_writer_that_takes_too_long(tmp_path: Path) -> None:
    async with open_(Config(busy_timeout_s=0.02), state_dir=tmp_path) as store:
        with closing(database(tmp_path)) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="busy") as caught:
                await store.insert_vm(A)
            assert caught.value.remedy
            with pytest.raises(NotFound):  # reading goes on
                await store.get_vm("a")
            db.execute("ROLLBACK")
        assert (await store.insert_vm(A)).revision == 1


async def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        with closing(database(tmp_path)) as db:
            db.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.insert_vm(A))
            await asyncio.sleep(0)
            db.execute("COMMIT")
        assert (await writing).revision == 1


async def test_a_closed_store(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store:
        pass
    with pytest.raises(Unavailable, match="closed"):
        await store.get_vm("a")
    with pytest.raises(Unavailable, match="closed"):
        await store.insert_vm(A)


async def test_opening_can_be_cancelled_at_any_await(tmp_path: Path) -> None:
    async def use(state_dir: Path) -> None:
        async with open_(Config(), state_dir=state_dir) as store:
            await store.insert_vm(A)

    for turns in range(60):
        state_dir = tmp_path / str(turns)
        task = asyncio.create_task(use(state_dir))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with open_(Config(), state_dir=state_dir) as store:
            assert [item.vm.id for item in (await store.list_vms()).items] in ([], ["a"])


async def test_a_write_cancelled_while_it_waits_for_another_process(tmp_path: Path) -> None:
    async with open_(Config(busy_timeout_s=0.2), state_dir=tmp_path) as store:
        with closing(database(tmp_path)) as db:
            db.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(store.insert_vm(A))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            db.execute("ROLLBACK")
        # Whether that write took place or not, the connection holds no transaction open.
        await store.delete_vm("a")
        assert (await store.insert_vm(A)).revision == 1


async def test_the_deadline_of_a_lock_names_its_holder(tmp_path: Path) -> None:
    async with open_(Config(), state_dir=tmp_path) as store, store.lock("vm-a", timeout_s=0):
        with pytest.raises(DeadlineExceeded, match=r"vm-a is in use by (another|process)"):
            async with store.lock("vm-a", timeout_s=0):
                pass
    assert list((tmp_path / "locks").iterdir()) == []


OPEN_AND_FILL = """
import asyncio, resource, sys
from dataclasses import replace
from pathlib import Path
from aetherium.drivers.store.sqlite import Config, open_
from aetherium.model.errors import AetheriumError
from aetherium.ports.store import VMRecord
from aetherium.testing.values import vm
async def main(state_dir, most):
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    there = 0
    try:
        async with open_(Config(), state_dir=state_dir) as store:
            for number in range(5000):
                await store.insert_vm(VMRecord(vm=replace(vm(f"vm-{number}"), env={"A": "x" * 2000})))
                there += 1
    except AetheriumError as exc:
        print(exc.code, there, exc.remedy)
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def fill(state_dir: Path, *, most: int = 0, prefix: tuple[str, ...] = ()) -> tuple[str, int, str]:
    argv = [*prefix, sys.executable, "-c", OPEN_AND_FILL, str(state_dir), str(most)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    code, there, remedy = done.stdout.strip().split(" ", 2)
    return code, int(there), remedy


async def check_whole(state_dir: Path, there: int) -> None:
    async with open_(Config(), state_dir=state_dir) as store:
        assert len((await store.list_vms(limit=10_000)).items) == there
        await store.delete_vm("vm-0")
        assert (await store.insert_vm(A)).revision == 1


@pytest.mark.parametrize("most", [300_000, 1_500_000])
async def test_a_limit_of_file_size_loses_nothing_written_before(tmp_path: Path, most: int) -> None:
    code, there, remedy = fill(tmp_path, most=most)
    assert (code, bool(remedy)) == (ResourceExhausted.code, True)
    assert there > 0
    await check_whole(tmp_path, there)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small tmpfs needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


async def test_a_full_disk_loses_nothing_written_before(small_disk: Path) -> None:
    code, there, remedy = fill(small_disk)
    assert (code, bool(remedy)) == (ResourceExhausted.code, True)
    assert there > 0
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    await check_whole(small_disk, there)


async def test_no_store_can_be_made_on_a_full_disk(small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as file:
        while os.statvfs(small_disk).f_bavail > 2:
            file.write(b"x" * 4096)
            file.flush()
    code, there, remedy = fill(small_disk)
    assert (code, there, bool(remedy)) == (ResourceExhausted.code, 0, True)
    (small_disk / "filler").unlink()
    await check_whole(small_disk, 0)


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()


@pytest.fixture
def public_tmp(tmp_path: Path) -> Iterator[Path]:
    """Open ``tmp_path`` to other users: pytest keeps it private."""
    closed = [
        p for p in (tmp_path, *tmp_path.parents) if p.stat().st_uid == os.getuid() and not p.stat().st_mode & 0o001
    ]
    for directory in closed:
        directory.chmod(0o711)
    yield tmp_path
    for directory in closed:
        directory.chmod(0o700)


@pytest.mark.parametrize("what", ["no directory", "directory", "database"])
async def test_where_one_may_not_write(public_tmp: Path, what: str) -> None:
    tried = subprocess.run([*NOBODY, sys.executable, "-c", "import aetherium"], capture_output=True, text=True)
    requires("ordinary-user", unmet=tried.stderr if tried.returncode else None)
    state_dir = public_tmp / "state"
    if what != "no directory":
        state_dir.mkdir()
    if what == "database":
        async with open_(Config(), state_dir=state_dir):
            pass
        (state_dir / "aetherium.db").chmod(0o444)
        (state_dir / "locks").chmod(0o555)
    (state_dir if state_dir.exists() else public_tmp).chmod(0o555)
    try:
        code, there, remedy = fill(state_dir, prefix=NOBODY)
    finally:
        (state_dir if state_dir.exists() else public_tmp).chmod(0o755)
    assert (code, there) == (PermissionDenied.code, 0)
    assert "--state-dir" in remedy
    assert "AETHERIUM_STATE_DIR" in remedy
