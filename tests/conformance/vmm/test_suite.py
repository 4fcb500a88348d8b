"""The suite itself: a driver that breaks a rule fails it, at the check that is about that rule."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

_FILE = Path(__file__).with_name("broken.py")
_MUST_FAIL = {
    "StopsNothing": "test_stop_ends_every_process[True]",
    "ForgetsFiles": "test_walk",
    "PausesNothing": "test_work_stops_and_goes_on",
    "Boasts": "test_network_none_has_no_way_out",
    "Immortal": "test_what_happened_meanwhile_is_seen",
    "Litters": "test_delete_ends_a_vm_that_runs",
    "LeaksDescriptors": "test_health",
    "LeaksTasks": "test_start_and_stop_are_repeatable",
    "Blind": "test_a_machine_without_a_row[True]",
    "SaysItLasts": "test_a_vm_and_its_command_go_on",
    "CannotBeCancelled": "test_create_at_each_point",
}
_SOUND = ("test_walk", "test_force_does_not_ask", "test_work_stops_and_goes_on", "test_create_at_each_point")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Run all chosen checks in one go; return how each ended."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    chosen = [("Sound", check) for check in _SOUND] + list(_MUST_FAIL.items())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-pno:cacheprovider",
            "--override-ini=addopts=",
            f"--basetemp={report.parent / 'base'}",
            f"--junitxml={report}",
            *(f"{_FILE}::Test{driver}::{check}" for driver, check in chosen),
        ],
        cwd=_FILE.parents[3],
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "AETHERIUM_"))},
        stdout=subprocess.DEVNULL,
        timeout=55,
        check=False,
    )
    found: dict[tuple[str, str], str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = (case.attrib["classname"].rpartition(".Test")[2], case.attrib["name"])
        found[name] = "failed" if case.find("failure") is not None or case.find("error") is not None else "passed"
        if case.find("skipped") is not None:
            found[name] = "skipped"
    return found


@pytest.mark.parametrize("check", _SOUND)
def test_a_sound_driver_passes(outcomes: dict[tuple[str, str], str], check: str) -> None:
    assert outcomes["Sound", check] == "passed"


@pytest.mark.parametrize(("driver", "check"), _MUST_FAIL.items())
def test_a_broken_driver_fails(outcomes: dict[tuple[str, str], str], driver: str, check: str) -> None:
    assert outcomes[driver, check] == "failed"
