"""The bubblewrap suite once more, as a user without any privilege: that is who most users are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]
_UID = 61_234  # nobody's: above the uids of people, below those of systemd's services
_NAMESPACE = ("unshare", "--mount", "--propagation", "private")


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a directory of that user; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory(prefix="aetherium-user-") as name:
        os.chown(name, _UID, _UID)
        yield Path(name)


def unmet() -> str | None:
    """Say what is missing, None when nothing is."""
    missing = [program for program in ("unshare", "setpriv", "mount") if shutil.which(program) is None]
    if missing:
        return f"there is no {', '.join(missing)}"
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        return "mount namespaces cannot be made here"
    return None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_suite_passes_as_an_ordinary_user(request: pytest.FixtureRequest) -> None:
    if os.geteuid() != 0:
        pytest.skip("the suite itself ran as an ordinary user")
    requires("ordinary-user", unmet=unmet())
    home: Path = request.getfixturevalue("home")
    needed = {sys.prefix, sys.base_prefix, str(_ROOT), *(path for path in sys.path if os.path.isdir(path))}
    done = subprocess.run(
        [
            *(*_NAMESPACE, sys.executable, str(_HERE / "ordinary.py"), str(_UID), *sorted(needed), "--"),
            *(sys.executable, "-m", "pytest", str(_HERE / "test_bubblewrap.py"), "-q", "--tb=short"),
            *("-pno:cacheprovider", "-nauto", "--override-ini=addopts=", f"--basetemp={home / 'base'}"),
        ],
        cwd=_ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "XDG_"))},
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
