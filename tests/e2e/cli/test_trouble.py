"""What the user is told when the host is in the way. Never a traceback, always what to do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires
from tests.e2e.cli.harness import Cli, Done


def told(done: Done, wanted: str) -> None:
    """Check that a call failed with a message and a remedy."""
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (125, b""), said
    first, *remedy = said.splitlines()
    assert first.startswith("error: ")
    assert wanted in said, said
    assert remedy, said
    assert "Traceback" not in said
    assert "internal error" not in said


def test_a_state_directory_that_cannot_be_written(cli: Cli, tmp_path: Path, ordinary_user: list[str]) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    nowhere = replace(cli, state=tmp_path / "state", home=Path("/"))
    told(nowhere("run", "--", "true", prefix=ordinary_user), "--state-dir")
    told(nowhere("vm", "list", prefix=ordinary_user), "--state-dir")


def test_a_state_directory_that_is_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told(replace(cli, state=tmp_path / "file")("vm", "list"), "--state-dir")
    told(replace(cli, state=tmp_path / "file" / "below")("vm", "list"), "--state-dir")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with almost no room."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], capture_output=True)
    requires("mount", unmet=None if mounted.returncode == 0 else mounted.stderr.decode())
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(cli: Cli, small_disk: Path) -> None:
    state = small_disk / "state"
    state.mkdir()
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(b"x" * 4096)
    told(replace(cli, state=state)("run", "--", "true"), "space")


def test_no_bubblewrap(cli: Cli) -> None:
    without = replace(cli, more={**cli.more, "AETHERIUM__VMM__BUBBLEWRAP__BWRAP": "/nowhere/bwrap"})
    told(without("run", "--", "true"), "/nowhere/bwrap")
    doctor = without("doctor", "--json")
    assert doctor.returncode == 125
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert not checks["bubblewrap"]["works"]
    assert checks["bubblewrap"]["remedy"]


def test_more_words_than_one_request_carries(cli: Cli, vm: str) -> None:
    # One word over 128 KiB never reaches us, for Linux refuses it.
    told(cli("vm", "exec", vm, "--", "true", *["\x01" * 99_000] * 9), "stdin")


def test_a_configuration_with_mistakes(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vmm:\n  provider: 5\n  defaults: {cpus: many}\nservre: {}\n")
    for words in (["run", "--", "true"], ["config", "check"], ["vm", "list"]):
        done = cli("--config", str(path), *words)
        assert done.returncode == 125
        said = done.stderr.decode()
        assert "bad.yaml:3" in said
        assert "bad.yaml:4" in said
        assert "Traceback" not in said
    told_missing = cli("--config", str(tmp_path / "nonesuch.yaml"), "vm", "list")
    assert told_missing.returncode == 125
    assert b"nonesuch.yaml" in told_missing.stderr


def test_isolation_that_nothing_here_gives(cli: Cli) -> None:
    told(replace(cli, more={})("--isolation", "vm", "run", "--", "true"), "doctor")
