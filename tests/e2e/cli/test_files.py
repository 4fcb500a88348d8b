"""``aetherium vm cp``, in the manner of ``docker cp``."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Cli

DATA = bytes(range(256)) * 5000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with something in it."""
    root = tmp_path / "tree"
    (root / "below").mkdir(parents=True)
    (root / "below" / "file").write_bytes(DATA)
    (root / "run me").write_text("#!/bin/sh\necho ran\n")
    (root / "run me").chmod(0o755)
    (root / "link").symlink_to("below/file")
    return root


def test_a_directory_in_and_out(cli: Cli, vm: str, tree: Path, tmp_path: Path) -> None:
    cli.ok("vm", "cp", str(tree), f"{vm}:new")  # there is none of that name: it becomes it
    assert cli.ok("vm", "exec", vm, "--", "./new/run me") == "ran"
    cli.ok("vm", "cp", str(tree), f"{vm}:new")  # there is: it goes into it
    assert cli.ok("vm", "exec", vm, "--", "ls", "new/tree").split() == ["below", "link", "run", "me"]
    cli.ok("vm", "cp", f"{tree}/below/.", f"{vm}:new")  # its contents
    assert cli.ok("vm", "exec", vm, "--", "test", "-f", "new/file") == ""

    cli.ok("vm", "cp", f"{vm}:new/tree", str(tmp_path / "out"))
    assert (tmp_path / "out/below/file").read_bytes() == DATA
    assert (tmp_path / "out/link").readlink() == Path("below/file")
    assert (tmp_path / "out/run me").stat().st_mode & 0o111
    cli.ok("vm", "cp", f"{vm}:new/tree", str(tmp_path / "out"))
    assert (tmp_path / "out/tree/below/file").read_bytes() == DATA


def test_a_file_in_and_out(cli: Cli, vm: str, tree: Path, tmp_path: Path) -> None:
    source = str(tree / "below/file")
    assert cli.json("vm", "cp", source, f"{vm}:/tmp/renamed")["bytes"] == len(DATA)
    cli.ok("vm", "cp", source, f"{vm}:/tmp")
    cli.ok("vm", "cp", f"{vm}:/tmp/renamed", str(tmp_path / "back"))
    cli.ok("vm", "cp", f"{vm}:/tmp/file", str(tmp_path))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes() == DATA


def test_archives(cli: Cli, vm: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("d/file")
        member.size = len(DATA)
        archive.addfile(member, io.BytesIO(DATA))
    cli.ok("vm", "cp", "-", f"{vm}:unpacked", stdin=packed.getvalue())
    done = cli("vm", "cp", f"{vm}:unpacked", "-")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        found = {name.lstrip("./"): archive.getmember(name) for name in archive.getnames()}
        content = archive.extractfile(found["d/file"])
        assert content is not None
        assert content.read() == DATA


def test_mistakes(cli: Cli, vm: str, tree: Path) -> None:
    for words, code in (
        ([str(tree), str(tree)], 2),
        ([f"{vm}:a", f"{vm}:b"], 2),
        ([str(tree)], 2),
        ([f"{vm}:nonesuch", str(tree)], 125),
        ([str(tree / "nonesuch"), f"{vm}:"], 125),
        ([str(tree), f"{vm}:/etc/passwd"], 125),
        ([str(tree), "nonesuch:"], 125),
        ([f"{vm}:/etc", str(tree / "below/file")], 125),
    ):
        done = cli("vm", "cp", *words)
        assert done.returncode == code, words
        assert b"Traceback" not in done.stderr, words
    assert (tree / "below/file").read_bytes() == DATA
