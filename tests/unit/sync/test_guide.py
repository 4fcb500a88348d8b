"""The Python guide: each of its code blocks is run, and prints what its comments say."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aetherium.app.open import open_
from aetherium.app.sync import SyncEngine
from aetherium.app.sync.portal import open_portal
from aetherium.model.vm import VMConfig
from aetherium.testing.requirements import requires
from tests.unit.sync.test_engine import agent_missing

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
BLOCKS: list[str] = BLOCK.findall((ROOT / "docs/guides/python.md").read_text())
PROGRAMS = [block for block in BLOCKS if "import aetherium\n" in block]
PIECES = [block for block in BLOCKS if block not in PROGRAMS]


@pytest.fixture(autouse=True)
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires("memory", unmet=agent_missing())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("AETHERIUM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AETHERIUM__VMM__PROVIDER", "memory")
    monkeypatch.setenv("AETHERIUM__VMM__ISOLATION", "none")
    monkeypatch.chdir(tmp_path)


def promised(block: str) -> list[str]:
    """Return what a block's comments say it prints; ``\\n`` is a line's end, but in a bytes literal itself."""
    return [said if "b'" in said else said.replace("\\n", "\n") for said in PRINTED.findall(block)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: "with" if "open_sync" in program else "async with")
def test_a_program(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "".join(f"{line}\n" for line in promised(program))), done.stderr


def test_the_pieces_in_order() -> None:
    assert len(PROGRAMS) == 2
    assert len(PIECES) >= 10
    printed: list[str] = []
    with open_portal(open_) as (portal, engine):
        synchronous = SyncEngine(engine, portal)
        names: dict[str, Any] = {
            "vm": synchronous.vms.create(VMConfig(id="agent-1")),
            "print": lambda *values: printed.append(" ".join(map(str, values))),
        }
        exec("import aetherium\nfrom aetherium import Command, VMConfig", names)  # what the programs above import
        for piece in PIECES:
            printed.clear()
            code = compile(piece, "docs/guides/python.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                names["engine"] = engine
                portal.call(partial(eval, code, names))
            else:
                names["engine"] = synchronous
                exec(code, names)
            assert printed == promised(piece), piece
