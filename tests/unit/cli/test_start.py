"""What ``aetherium`` costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aetherium.cli.root import VERBS

ROOT = Path(__file__).parents[3]
_SHOW = "import sys; from aetherium.cli.__main__ import main; code = main(); print('|', *sys.modules); sys.exit(code)"


def modules(*words: str) -> tuple[str, set[str]]:
    """Run the command line in a process of its own; return what it printed and what it imported."""
    done = subprocess.run([sys.executable, "-c", _SHOW, *words], capture_output=True, text=True, check=True, timeout=60)
    text, _, names = done.stdout.rpartition("|")
    return text, set(names.split())


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["--version"], ["version"], ["version", "--json"]])
def test_help_and_version_import_nothing_large(words: list[str]) -> None:
    text, loaded = modules(*words)
    assert "aetherium" in text
    assert loaded.isdisjoint({"asyncio", "cyclopts", "rich", "pydantic", "aiosqlite", "inspect", "attrs"})


def test_the_engine_needs_no_terminal_library_and_no_validation() -> None:
    """``run`` with wrong usage has parsed everything: neither rich nor pydantic nor the YAML parser may be there."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aetherium.cli", "run"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "cyclopts" in loaded
    assert loaded.isdisjoint({"rich", "pydantic", "ruamel"})


def test_the_top_help_names_every_verb() -> None:
    text, _ = modules("--help")
    for names, *_ in VERBS:
        assert f"  {names.replace('|', ', ')}  " in text


def test_help_and_reference_are_up_to_date() -> None:
    script = ROOT / "scripts/generate_cli_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
