"""The project whose tests the demo runs: fetched as its authors released it, and nothing of it run on this host."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from aetherium.model.errors import DeadlineExceeded, InvalidArgument, Unavailable

_TIMEOUT_S = 120.0
_BACKEND = '''\
"""Stands in for the project's build backend while pip asks for its metadata: nothing of the project runs here."""
import os


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name = "{name}-{version}.dist-info"
    os.mkdir(os.path.join(metadata_directory, name))
    for file, text in (
        ("METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"),
        ("WHEEL", "Wheel-Version: 1.0\\nGenerator: aetherium\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"),
    ):
        with open(os.path.join(metadata_directory, name, file), "w") as out:
            out.write(text)
    return name
'''


@dataclass(frozen=True, slots=True)
class Project:
    """A source release, pinned."""

    name: str
    version: str
    sha256: str

    @property
    def directory(self) -> str:
        """What its archive unpacks to."""
        return f"{self.name}-{self.version}"

    @property
    def archive(self) -> str:
        """Its archive's file name."""
        return f"{self.directory}.tar.gz"


IDNA = Project("idna", "3.11", "795dafcc9c04ed0c1fb032c2aa73654d8e8c5023a7df64a53f39190ada629902")
"""Internationalised domain names: pure Python, thousands of tests of its own, and no need but Python's own unittest."""


_OFFLINE = (
    "the demo needs a package index (pip's configuration says which); without one, bring the file yourself:"
    f" aetherium demo --archive {IDNA.archive}"
)


async def fetch(project: Project, scratch: Path) -> Path:
    """Download the source release and return the archive. Raises Unavailable with what to do when that fails."""
    pip = _pip()
    target = scratch / "download"
    command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--dest", str(target), f"{project.name}=={project.version}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=_environment(project, scratch),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise DeadlineExceeded(f"the download took longer than {_TIMEOUT_S:g} s", remedy=_OFFLINE) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    archive = target / project.archive
    if process.returncode or not archive.is_file():
        raise Unavailable(f"pip could not download {project.archive}: {_last_error(said)}", remedy=_OFFLINE)
    return archive


def _environment(project: Project, scratch: Path) -> dict[str, str]:
    """Return pip's environment, in which the project's build backend is ours."""
    stub = scratch / "backend" / "flit_core"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (stub / "buildapi.py").write_text(_BACKEND.format(name=project.name, version=project.version))
    return {**os.environ, "PYTHONPATH": str(stub.parent), "PYTHONDONTWRITEBYTECODE": "1"}


def _pip() -> list[str]:
    """Return a way to call pip: this interpreter's own, the system's, or one that uv brings."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for python in (shutil.which("python3"), "/usr/bin/python3"):
        if python is not None and subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0:
            return [python, "-m", "pip"]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "tool", "run", "pip"]
    raise Unavailable("there is neither pip nor uv on this host", remedy=_OFFLINE)


def _last_error(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no reason given"])[-1].removeprefix("ERROR: ")


def check(archive: Path, project: Project) -> None:
    """Raise InvalidArgument unless the archive is the release that is pinned."""
    try:
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
    except OSError as error:
        raise Unavailable(f"cannot read {archive}: {error.strerror}", remedy=_OFFLINE) from error
    if found != project.sha256:
        raise InvalidArgument(
            f"{archive.name} is not the release that is pinned: its sha256 is {found}",
            remedy=f"expected {project.sha256}; do not use this file, and look at where it came from",
        )
