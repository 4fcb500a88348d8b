"""``doctor``, ``version``, ``demo``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aetherium import __version__
from aetherium.testing.requirements import requires
from tests.e2e.cli.harness import Cli


def test_doctor(cli: Cli) -> None:
    found = cli.json("doctor", "-v")
    assert found["ok"] is True
    checks = {check["name"]: check for check in found["checks"]}
    assert checks.keys() >= {"configuration", "state directory", "store", "guest agent", "bubblewrap"}
    assert all(check.keys() >= {"name", "works", "reason", "remedy", "details"} for check in found["checks"])
    assert checks["bubblewrap"]["isolation"] == "namespace"
    shown = cli.ok("doctor")
    assert "bubblewrap" in shown
    assert "works" in shown


def test_doctor_where_the_isolation_asked_for_is_not_to_be_had(cli: Cli) -> None:
    done = cli("doctor", "--json", "--isolation", "vm")
    assert done.returncode == 125
    assert json.loads(done.stdout)["ok"] is False


def test_version(cli: Cli) -> None:
    assert cli.ok("--version") == f"aetherium {__version__}"
    found = cli.json("version")
    assert found.keys() == {"aetherium", "python", "agent", "platform"}
    assert found["aetherium"] == __version__
    assert found["agent"]
    assert json.loads(cli.ok("version", "--json", "-v")) == found


@pytest.mark.slow
def test_demo(cli: Cli, no_vm_left: None, tmp_path: Path) -> None:
    done = cli("demo", "--json", "--step", "--report", str(tmp_path / "report.txt"))
    if done.returncode == 125 and json.loads(done.stderr)["code"] == "unavailable":
        requires("pypi", unmet=json.loads(done.stderr)["message"])
    assert done.returncode == 0, done
    table = json.loads(done.stdout)
    assert table["tests_passed"] > 1000
    assert table.keys() >= {"vm", "driver", "isolation", "exit_code", "tests_passed", "created_s", "first_output_s"}
    assert "OK" in (tmp_path / "report.txt").read_text()


def test_demo_offline(cli: Cli, no_vm_left: None, tmp_path: Path) -> None:
    nothing = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": str(tmp_path)}
    done = Cli(cli.state, cli.home, {**cli.more, **nothing})("demo")
    assert done.returncode == 125
    assert b"--archive" in done.stderr


def test_demo_with_something_else_in_the_archive(cli: Cli, no_vm_left: None, tmp_path: Path) -> None:
    fake = tmp_path / "idna-3.11.tar.gz"
    fake.write_bytes(b"not it")
    done = cli("demo", "--archive", str(fake))
    assert done.returncode == 125
    assert b"sha256" in done.stderr
