"""What the documentation shows is run: shell blocks as scripts, Python blocks as programs, links followed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if page.name != "CHANGELOG.md" and "decisions" not in page.parts
)
RUN_AS_ONE = (ROOT / "README.md", ROOT / "docs/quick-start.md", ROOT / "docs/guides/command-execution.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
NOT_HERE = re.compile(r"^(make|pip) |vm shell", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def environment(tmp_path: Path) -> dict[str, str]:
    bin_dir = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": bin_dir + os.pathsep + os.environ["PATH"],
        "AETHERIUM_STATE_DIR": str(tmp_path / "state"),
        "HOME": str(tmp_path),
    }


@pytest.fixture
def a_working_driver(tmp_path: Path) -> None:
    found = subprocess.run(
        ["aetherium", "doctor"], env=environment(tmp_path), capture_output=True, text=True, timeout=50
    )
    requires("bubblewrap", unmet=found.stdout if found.returncode else None)


@pytest.mark.usefixtures("a_working_driver")
@pytest.mark.parametrize("page", RUN_AS_ONE, ids=lambda page: page.stem)
def test_shell_blocks_run_in_order(page: Path, tmp_path: Path) -> None:
    scripts = [text for text in blocks(page, "sh") if not NOT_HERE.search(text)]
    assert scripts, "the page shows nothing that can be run"
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(scripts)],
        cwd=work,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    left = subprocess.run(
        ["aetherium", "--json", "vm", "list"], env=environment(tmp_path), capture_output=True, text=True, timeout=30
    )
    assert left.stdout.strip() == "[]", "the page leaves VMs behind"


@pytest.mark.usefixtures("a_working_driver")
def test_readme_python_runs(tmp_path: Path) -> None:
    (program,) = blocks(ROOT / "README.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "Hello from VM!\n 0\n", done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_glossary_words(page: Path) -> None:
    refused = re.compile(r"\b(microVM box|blueprint|hibernate)\b", re.IGNORECASE)
    assert not refused.search(page.read_text())
