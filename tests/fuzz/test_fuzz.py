"""Each fuzz target runs for a few seconds and finds nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
SECONDS = 5


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(path.stem for path in HERE.glob("fuzz_*.py")))
def test_fuzzing_finds_nothing(target: str, tmp_path: Path) -> None:
    requires("atheris", unmet=None if importlib.util.find_spec("atheris") else "atheris is not installed")
    found = subprocess.run(
        [sys.executable, HERE / f"{target}.py", f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=SECONDS + 45,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    assert "Done" in found.stderr
