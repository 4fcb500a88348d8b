"""What ``doctor`` tries, one finding each. Nothing here raises: what goes wrong is a finding."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aetherium.app.config import load, state_dir
from aetherium.app.drivers import DriverPool, open_provider
from aetherium.app.open import prepare_state_directory
from aetherium.app.registry import REGISTRY, names
from aetherium.cli.agent import greeting
from aetherium.cli.options import Options
from aetherium.cli.output import size
from aetherium.model.config import AUTO, Config
from aetherium.model.errors import AetheriumError
from aetherium.model.vm import Isolation

_LITTLE_SPACE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried. ``isolation`` is that of a driver, None for everything else."""

    name: str
    works: bool
    reason: str
    remedy: str = ""
    isolation: str | None = None
    meets_floor: bool = True
    is_needed: bool = True
    """Whether nothing works without it."""
    details: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return it with the names that ``--json`` uses."""
        shown: dict[str, object] = {
            "name": self.name,
            "works": self.works,
            "reason": self.reason,
            "remedy": self.remedy,
            "details": dict(self.details),
        }
        if self.isolation is not None:
            shown |= {"isolation": self.isolation, "meets_floor": self.meets_floor}
        return shown


async def examine(options: Options) -> list[Finding]:
    """Try everything."""
    config, findings = _configuration(options)
    directory = state_dir(options.state_dir, os.environ, os.getuid())
    findings.append(_directory(directory))
    is_writable = findings[-1].works
    if is_writable:
        findings.append(await _store(config, directory))
    findings.append(_agent())
    if is_writable:
        findings += await _drivers(config, directory)
    return findings


def _configuration(options: Options) -> tuple[Config, list[Finding]]:
    try:
        loaded = load(options.config, environ=os.environ, registry=REGISTRY)
    except AetheriumError as error:
        return Config(), [_failed("configuration", error)]
    config = loaded.config
    vmm = replace(
        config.vmm,
        provider=options.driver or config.vmm.provider,
        isolation=options.isolation or config.vmm.isolation,
    )
    asks = f"asks for driver {vmm.provider}, isolation {vmm.isolation.value} or more"
    finding = Finding(name="configuration", works=True, reason=f"{loaded.path or 'defaults'}: {asks}")
    return replace(config, vmm=vmm), [finding]


def _directory(directory: Path) -> Finding:
    try:
        prepare_state_directory(directory)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"x" * 4096)
            file.flush()
        free = shutil.disk_usage(directory).free
    except AetheriumError as error:
        return _failed("state directory", error)
    except OSError as error:
        return Finding(
            name="state directory",
            works=False,
            reason=f"{directory} cannot be written: {error.strerror}",
            remedy="free some space, or choose another with --state-dir or AETHERIUM_STATE_DIR",
        )
    if free < _LITTLE_SPACE:
        return Finding(
            name="state directory",
            works=False,
            reason=f"{directory} has only {size(free)} left",
            remedy="free some space, or choose another with --state-dir or AETHERIUM_STATE_DIR",
        )
    return Finding(name="state directory", works=True, reason=f"{directory} ({size(free)} free)")


async def _store(config: Config, directory: Path) -> Finding:
    provider = config.storage.provider
    try:
        async with open_provider("storage", provider, config, state_dir=directory) as store:
            await store.list_vms(limit=1)
    except AetheriumError as error:
        return _failed("store", error)
    except Exception as error:  # other people's code
        return Finding(name="store", works=False, reason=f"{provider} does not open: {error}")
    return Finding(name="store", works=True, reason=f"{provider} opens and answers")


def _agent() -> Finding:
    hello = greeting()
    if hello is None:
        return Finding(
            name="guest agent",
            works=False,
            reason=f"there is none for {os.uname().machine} in this installation, or it does not run",
            remedy="install Aetherium from its wheel, or build the agent: python hatch_build.py",
        )
    return Finding(name="guest agent", works=True, reason=f"version {hello.get('agent')} for {hello.get('arch')}")


async def _drivers(config: Config, directory: Path) -> list[Finding]:
    wanted = config.vmm.provider
    async with DriverPool(config, directory) as pool:
        known = list(names("vmm"))
        if wanted not in (AUTO, *known):
            known.append(wanted)
        return [
            replace(found, meets_floor=found.meets_floor and wanted in (AUTO, found.name))
            for found in [await _driver(pool, name, config.vmm.isolation) for name in known]
        ]


async def _driver(pool: DriverPool, name: str, floor: Isolation) -> Finding:
    began = time.perf_counter()
    try:
        driver = await pool.get(name)
        probe = await driver.probe()
    except AetheriumError as error:
        return replace(_failed(name, error), isolation="-", meets_floor=False, is_needed=False)
    except Exception as error:  # other people's code
        return Finding(name=name, works=False, reason=f"its probe failed: {error!r}", isolation="-", is_needed=False)
    isolation = driver.capabilities.isolation
    return Finding(
        name=name,
        works=probe.is_healthy,
        reason=probe.reason,
        remedy=probe.remedy,
        isolation=isolation.value,
        # Without any isolation a driver is for tests: it is never chosen unless somebody asks for exactly that.
        meets_floor=isolation.meets(floor) and (isolation is not Isolation.NONE or floor is Isolation.NONE),
        is_needed=False,
        details={**(probe.details or {}), "took": f"{time.perf_counter() - began:.2f} s"},
    )


def _failed(name: str, error: AetheriumError) -> Finding:
    return Finding(name=name, works=False, reason=error.message, remedy=error.remedy)
