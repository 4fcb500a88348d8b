"""Everything else here once more as an ordinary user, when the tests run as root."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires

ROOT = Path(__file__).parents[3]
UID = 65000
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
FILES = sorted(path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name)


NEEDED = "import aetherium, aiosqlite, pytest, pytest_asyncio, pytest_timeout"


@cache
def interpreter() -> str | None:
    """Return a Python that the user can run with the modules of this one, None when there is none."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(name, path="/usr/bin:/usr/local/bin")):
        if candidate is not None:
            # Once more from inside: setpriv itself still has root's right to walk everywhere.
            again = f"import subprocess, sys; sys.exit(subprocess.call([{candidate!r}, '-c', {NEEDED!r}]))"
            words = [*AS_USER, candidate, "-c", again]
            done = subprocess.run(words, env=environment(), cwd="/", capture_output=True, timeout=30, check=False)
            if done.returncode == 0:
                return candidate
    return None


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *(each for each in sys.path if "site-packages" in each)])
    ours = {name: value for name, value in os.environ.items() if name != "AETHERIUM_TEST_CACHE"}
    return {**ours, "PYTHONPATH": path, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", FILES)
async def test_as_an_ordinary_user(file: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("these tests run as an ordinary user already")
    python = interpreter()
    requires("ordinary-user", unmet=None if python else "no Python that an ordinary user can run has these modules")
    assert python is not None
    # Not below pytest's own directory, which only root may enter.
    base = Path(f"/var/tmp/aetherium-test-{os.getpid()}-{file}")
    base.mkdir()
    os.chown(base, UID, UID)
    inside = {**environment(), "TMPDIR": str(base), "AETHERIUM_TEST_PYTHON": python}
    words = [*AS_USER, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(base / "t")]
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            str(Path(__file__).with_name(file)),
            cwd=ROOT,
            env=inside,
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(output.decode())
    assert process.returncode == 0
