"""Compiles the guest agent for every architecture: a hatchling hook, and a command of its own.

The agent is data to the Python package, a static program for the VM, so the wheel fits every platform. Zig comes from
the ``ziglang`` package; nothing else is needed and nothing is downloaded. The output depends on nothing but the sources
and Zig's version, which a stamp beside it records: what is up to date is not compiled again.

By hand: ``python hatch_build.py [--arch x86_64] [--check]``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    Hook = BuildHookInterface[Any]
else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
    except ImportError:
        Hook = object

ROOT: Final = Path(__file__).resolve().parent
SOURCES: Final = ROOT / "guest" / "src"
OUTPUT: Final = ROOT / "src" / "aetherium" / "_guest"
ARCHITECTURES: Final = ("x86_64", "aarch64")
FLAGS: Final = ("-OReleaseSafe", "-fstrip", "-fsingle-threaded", "-fno-unwind-tables")


class BuildError(Exception):
    """The guest agent could not be compiled."""


def binary(arch: str) -> Path:
    """Return where the agent for this architecture is built."""
    return OUTPUT / f"aetherium-guest-{arch}"


def fingerprint(arch: str) -> str:
    """Return a digest of all that the output depends on."""
    digest = hashlib.sha256()
    for part in (importlib.metadata.version("ziglang"), arch, *FLAGS):
        digest.update(part.encode() + b"\0")
    for source in sorted(SOURCES.rglob("*.zig")):
        content = source.read_bytes()
        digest.update(f"{source.relative_to(SOURCES).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def is_current(arch: str) -> bool:
    """Tell whether the agent is there and made from these sources."""
    output = binary(arch)
    try:
        recorded, content = _stamp(arch).read_text().split()
        return recorded == fingerprint(arch) and content == hashlib.sha256(output.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False


def build(arch: str) -> Path:
    """Compile the agent unless it is current, and return its path."""
    output = binary(arch)
    if is_current(arch):
        return output
    source_digest = fingerprint(arch)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    # Beside the output, so that both files appear whole, by rename. The cache must be one that is certainly writable.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=OUTPUT) as scratch:
        compiled = Path(scratch, "agent")
        _compile(arch, compiled, Path(scratch, "cache"))
        stamp = Path(scratch, "stamp")
        stamp.write_text(f"{source_digest} {hashlib.sha256(compiled.read_bytes()).hexdigest()}\n")
        compiled.chmod(0o755)
        os.replace(compiled, output)
        os.replace(stamp, _stamp(arch))
    return output


def build_all(archs: Sequence[str] = ARCHITECTURES) -> list[Path]:
    """Compile for several architectures at once."""
    with ThreadPoolExecutor(len(archs)) as pool:
        return list(pool.map(build, archs))


def _compile(arch: str, output: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "ziglang", "build-exe", "main.zig", "-target", f"{arch}-linux", *FLAGS]
    command += ["--cache-dir", str(cache), "--global-cache-dir", str(cache), f"-femit-bin={output}"]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"zig could not compile the guest agent for {arch}:\n{done.stderr}")


def _stamp(arch: str) -> Path:
    return OUTPUT / f".aetherium-guest-{arch}.stamp"


class GuestBuildHook(Hook):
    """Puts the compiled agents into the wheel; an editable install finds them in the source tree."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before hatchling collects files."""
        if self.target_name != "wheel":
            return
        for output in build_all():
            if version != "editable":
                build_data["force_include"][str(output)] = f"aetherium/_guest/{output.name}"


def main() -> int:
    """Build by hand, or check that what is there is current."""
    parser = argparse.ArgumentParser(description="Compile the guest agent.")
    parser.add_argument("--arch", choices=ARCHITECTURES, help="only this architecture")
    parser.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    arguments = parser.parse_args()
    archs = [arguments.arch] if arguments.arch else ARCHITECTURES
    if arguments.check:
        stale = [binary(arch).name for arch in archs if not is_current(arch)]
        for name in stale:
            sys.stderr.write(f"{name} is missing or out of date: run python hatch_build.py\n")
        return 1 if stale else 0
    try:
        outputs = build_all(archs)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for output in outputs:
        sys.stdout.write(f"{output} ({output.stat().st_size} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
