"""What verbs print."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aetherium.cli.demo_guide import count_passed
from aetherium.cli.output import ago, show_facts, show_table, size, span


def test_columns_are_aligned_and_lines_have_no_trailing_blanks(capfd: pytest.CaptureFixture[str]) -> None:
    show_table(("ID", "STATE"), [("a-long-id", "up"), ("b", "stopped")])
    assert capfd.readouterr().out == "ID         STATE\na-long-id  up\nb          stopped\n"


def test_an_empty_table_still_has_its_headings(capfd: pytest.CaptureFixture[str]) -> None:
    show_table(("ID", "STATE"), [])
    assert capfd.readouterr().out == "ID  STATE\n"


def test_facts(capfd: pytest.CaptureFixture[str]) -> None:
    show_facts([("id", "x"), ("driver", "y")])
    assert capfd.readouterr().out == "id      x\ndriver  y\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (0.4, "0s"), (59, "59s"), (61, "1m"), (7200, "2h"), (1e6, "11d")]
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_ago() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert ago(now - timedelta(minutes=5), now) == "5m ago"
    assert ago(None, now) == "-"


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_sizes(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("report", "passed"),
    [
        ("...\nRan 3 tests in 0.1s\n\nOK\n", 3),
        ("Ran 1 test in 0.1s\n\nOK (skipped=1)\n", 0),
        ("Ran 10 tests in 0.1s\n\nFAILED (failures=2, errors=1, skipped=3)\n", 4),
        ("Ran 10 tests in 0.1s\n\nOK (expected failures=2)\n", 10),
        ("Traceback ...", 0),
        ("", 0),
    ],
)
def test_counting_the_tests_of_a_report(report: str, passed: int) -> None:
    assert count_passed(report) == passed
