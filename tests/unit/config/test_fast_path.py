"""What it costs to have no configuration."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from aetherium.app.config import Registry, as_dict, dump, load, state_dir
from pathlib import Path
loaded = load(None, environ={environ}, registry=Registry(), places=(Path("/no/such/file"),))
dump(loaded.config)
print(loaded.config.logging.level, loaded.origins)
print(sorted(set(sys.modules) & {{"pydantic", "pydantic_core", "ruamel", "ruamel.yaml", "difflib"}}))
"""


def run(environ: dict[str, str]) -> list[str]:
    program = PROGRAM.format(environ=environ)
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.splitlines()


@pytest.mark.parametrize("environ", [{}, {"AETHERIUM__SERVER__PORT": "", "AETHERIUM_LOG_LEVEL": "", "HOME": "/x"}])
def test_the_defaults_need_no_parser(environ: dict[str, str]) -> None:
    assert run(environ) == ["info {}", "[]"]


def test_neither_does_the_log_level() -> None:
    level = "{'logging.level': 'environment variable AETHERIUM_LOG_LEVEL'}"
    assert run({"AETHERIUM_LOG_LEVEL": "Debug"}) == [f"debug {level}", "[]"]


def test_a_variable_that_sets_a_key_needs_them() -> None:
    modules = run({"AETHERIUM__LOGGING__LEVEL": "error"})[1]
    assert "'pydantic'" in modules
    assert "'ruamel.yaml'" in modules
