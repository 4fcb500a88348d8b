from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap import removal


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree"
    path.mkdir()
    yield path
    assert not path.exists()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_text("kept")
    return path


def deep(top: Path, depth: int) -> None:
    """Make directories whose path is longer than any path may be."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d" * 100, dir_fd=fd)
        below = os.open("d" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_modes_that_forbid_it(tree: Path) -> None:
    for mode in (0o000, 0o100, 0o400, 0o555):
        (tree / f"{mode:o}" / "below").mkdir(parents=True)
        (tree / f"{mode:o}" / "file").touch()
        (tree / f"{mode:o}" / "below").chmod(mode)
        (tree / f"{mode:o}").chmod(mode)
    tree.chmod(0)
    removal.remove(tree)


def test_links_are_removed_and_not_followed(tree: Path, outside: Path) -> None:
    (tree / "directory").symlink_to(outside)
    (tree / "file").symlink_to(outside / "file")
    (tree / "loop").symlink_to(".")
    (tree / "etc").symlink_to("/etc")
    before = outside.stat().st_mode
    removal.remove(tree)
    assert (outside / "file").read_text() == "kept"
    assert outside.stat().st_mode == before


def test_a_link_in_its_own_place(tree: Path, outside: Path) -> None:
    tree.rmdir()
    tree.symlink_to(outside)
    removal.remove(tree)
    assert (outside / "file").exists()


def test_deeper_than_any_path(tree: Path) -> None:
    deep(tree, 300)
    assert removal.size(tree) > 300
    removal.remove(tree)


def test_strange_names_and_kinds(tree: Path) -> None:
    for name in (b"\xff\xfe", b"a\nb", b"-rf", b" ", b"\\", b"x" * 255):
        os.close(os.open(os.path.join(os.fsencode(tree), name), os.O_CREAT | os.O_WRONLY))
    os.mkfifo(tree / "fifo")
    removal.remove(tree)


def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    removal.remove(tmp_path / "none")
    assert removal.size(tmp_path / "none") == 0


def test_two_at_once(tree: Path) -> None:
    for number in range(300):
        (tree / str(number % 20) / str(number)).mkdir(parents=True)
        (tree / str(number % 20) / str(number) / "file").touch()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            removal.remove(tree)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_size_counts_a_file_once_and_nothing_outside(tree: Path, outside: Path) -> None:
    (outside / "large").write_bytes(b"x" * 1_000_000)
    (tree / "one").write_bytes(b"x" * 100_000)
    os.link(tree / "one", tree / "two")
    (tree / "link").symlink_to(outside)
    assert 100_000 <= removal.size(tree) < 200_000
    removal.remove(tree)
