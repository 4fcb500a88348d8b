"""A driver from somebody else's package: installed for real, found by its name in the configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from aetherium.testing.requirements import requires

_EXAMPLE = Path(__file__).with_name("example")
_SOURCES = Path(__file__).parents[3] / "src"
_CONFIG = """
vmm:
  provider: example
  isolation: none
  example: {greeting: from the file}
storage: {provider: memory}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package's wheel and install it into a directory of its own; nothing is downloaded."""
    directory = tmp_path_factory.mktemp("plugin")
    sources, target = directory / "sources", directory / "target"
    shutil.copytree(_EXAMPLE, sources, ignore=shutil.ignore_patterns("__pycache__"))
    if find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    else:
        uv = shutil.which("uv")
        requires("pip", unmet=None if uv else "neither pip nor uv is there")
        command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    requires("hatchling", unmet=None if find_spec("hatchling") else "hatchling is not installed")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    done = subprocess.run([*command, *options, str(sources)], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(script: str, installed: Path | None, tmp_path: Path, config: str = _CONFIG) -> subprocess.CompletedProcess[str]:
    """Run a script with the package on its path."""
    (tmp_path / "aetherium.yaml").write_text(config)
    path = [str(_SOURCES)] if installed is None else [str(installed), str(_SOURCES)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AETHERIUM")}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": os.pathsep.join(path), "AETHERIUM_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


_RUN = """
import asyncio, aetherium
from aetherium import Command

async def main():
    async with aetherium.open("aetherium.yaml") as engine:
        vm = await engine.vms.create()
        driver = await engine.drivers.get(vm.driver)
        result = await engine.vms.exec(vm.id, Command("echo", ["it works"]))
        print(vm.driver, vm.isolation, type(driver).__module__, (await driver.probe()).reason, result.stdout, sep="|")
        await engine.vms.delete(vm.id)

asyncio.run(main())
"""


def test_it_is_found_configured_and_used(installed: Path, tmp_path: Path) -> None:
    done = run(_RUN, installed, tmp_path)
    assert (done.stdout, done.stderr) == ("example|none|aetherium_example|from the file|it works\n\n", "")


def test_its_settings_are_checked(installed: Path, tmp_path: Path) -> None:
    done = run(_RUN, installed, tmp_path, _CONFIG.replace("greeting", "greting"))
    assert done.returncode != 0
    assert "greting" in done.stderr
    assert "greeting" in done.stderr


def test_without_the_package_the_name_is_unknown(tmp_path: Path) -> None:
    done = run(_RUN, None, tmp_path)
    assert done.returncode != 0
    assert "example" in done.stderr
    assert "bubblewrap" in done.stderr


def test_a_driver_that_does_not_load_says_why(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(installed, broken)
    (broken / "aetherium_example.py").write_text("import no_such_module\n")
    done = run(_RUN, broken, tmp_path)
    assert done.returncode != 0
    assert "no_such_module" in done.stderr


def test_auto_does_not_choose_it(installed: Path, tmp_path: Path) -> None:
    script = """
import asyncio, aetherium
async def main():
    async with aetherium.open("aetherium.yaml") as engine:
        print(*engine.drivers.names())
        print((await engine.drivers.get("example")).name)
asyncio.run(main())
"""
    done = run(script, installed, tmp_path, "storage: {provider: memory}\n")
    names, asked_for = done.stdout.splitlines()
    assert "example" not in names.split()
    assert asked_for == "example"
