"""A command line for each test file, and a running VM where a test needs one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherium.testing import processes
from aetherium.testing.requirements import requires
from tests.e2e.cli.harness import Cli


@pytest.fixture(scope="session")
def broken_driver(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """Why no VM can be made here, found by trying; None where it works."""
    directory = tmp_path_factory.mktemp("doctor")
    done = Cli(directory / "state", directory)("doctor", "--json", "--driver", "bubblewrap")
    checks = json.loads(done.stdout)["checks"] if done.stdout else pytest.fail(done.stderr.decode(errors="replace"))
    broken = [f"{check['name']}: {check['reason']}" for check in checks if not check["works"]]
    return None if done.returncode == 0 else "; ".join(broken)


@pytest.fixture(scope="module")
def cli(broken_driver: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line on a state directory of this file; in the end nothing of it may be left."""
    requires("bubblewrap", unmet=broken_driver)
    directory = tmp_path_factory.mktemp("cli")
    before = processes.everybody()
    cli = Cli(directory / "state", directory, more={"AETHERIUM__VMM__PROVIDER": "bubblewrap"})
    yield cli
    if left := cli.vm_ids():
        cli.ok("vm", "delete", *left)
    found = processes.ours((str(directory).encode(),), before) - before
    assert not found, "\n".join(map(processes.describe, found))
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert str(directory) not in mounts


@pytest.fixture(scope="module")
def vm(cli: Cli) -> str:
    """A VM that runs, for the tests of one file that leave it as it is."""
    return cli.ok("vm", "create", "box")


@pytest.fixture
def no_vm_left(cli: Cli) -> Iterator[None]:
    """Check that the test leaves the VMs that were there, and no others."""
    before = cli.vm_ids()
    yield
    assert cli.vm_ids() == before


@pytest.fixture(scope="session")
def ordinary_user() -> list[str]:
    """Words that make a command run as an ordinary user who may do nothing special."""
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    try:
        tried = subprocess.run([*prefix, sys.executable, "-c", "import aetherium"], capture_output=True, text=True)
    except OSError as error:
        requires("setpriv", unmet=str(error))
        raise
    requires("ordinary-user", unmet=tried.stderr if tried.returncode else None)
    return prefix
