"""What the user is told when the host is in the way. Never a traceback, always what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap.marks import Mark
from aetherium.testing.requirements import requires
from tests.e2e.cli.harness import Cli, Done, finish, read_until
from tests.integration.bubblewrap.test_ordinary_user import environment, interpreter


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


def test_user_namespaces_forbidden(cli: Cli, ordinary_user: list[str]) -> None:
    python = interpreter()
    requires("ordinary-user", unmet=None if python else "no Python that an ordinary user can run has these modules")
    home = Path(f"/var/tmp/aetherium-test-{os.getpid()}-forbidden")
    home.mkdir()
    os.chown(home, 65534, 65534)
    # In a user namespace of its own the limit binds this call alone.
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"'
    apart = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--keep-caps", "sh", "-c", forbid, "sh"]
    call = [str(python), "-m", "aetherium.cli", "--state-dir", str(home / "state"), "run", "--", "true"]
    try:
        tried = subprocess.run([*ordinary_user, *apart, "true"], capture_output=True)
        requires("unshare", unmet=None if tried.returncode == 0 else tried.stderr.decode())
        told(
            subprocess.run([*ordinary_user, *apart, *call], env=environment(), cwd=home, capture_output=True),
            "max_user_namespaces",
        )
        assert not list(home.glob("state/vms/*")), "the create left something"
    finally:
        shutil.rmtree(home)


def test_the_agent_is_killed(cli: Cli, vm: str) -> None:
    call = cli.start("vm", "exec", vm, "--", "sh", "-c", "echo begun; sleep 60")
    assert call.stdout is not None
    read_until(call.stdout, b"begun\n")
    os.kill(agent_of(cli, vm), signal.SIGKILL)
    out, err = finish(call)
    told(subprocess.CompletedProcess([], call.returncode, out, err), vm)
    status = cli.json("vm", "status", vm)
    assert status["state"] == "stopped"
    assert status["stop_reason"]["rule"] == "died"
    told(cli("vm", "exec", vm, "--", "true"), f"aetherium vm start {vm}")
    cli.ok("vm", "start", vm)
    assert cli.ok("vm", "exec", vm, "--", "echo", "again") == "again"


def agent_of(cli: Cli, vm: str) -> int:
    """Return the agent's process, by the name the driver gives it."""
    name = os.fsencode(Mark.of(cli.state).word(vm))
    for process in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            if process.name.isdigit() and (process / "cmdline").read_bytes().split(b"\0")[0] == name:
                return int(process.name)
    raise AssertionError(f"no agent of {vm} runs")
