"""Where ``docker cp`` would put things: into a directory that is there, else under the name that is given.

A directory whose path ends in ``/.`` stands for its contents.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from aetherium.cli.parsing import CopySpec
from aetherium.cli.progress import progress
from aetherium.core.engine import Engine
from aetherium.model.errors import InvalidArgument, NotFound
from aetherium.model.files import FileType, TreeCount


async def copy_in(engine: Engine, vm: str, copies: Sequence[CopySpec]) -> None:
    """Copy everything that ``--copy`` names. Raises AetheriumError."""
    for spec in copies:
        await upload(engine, vm, spec.source, spec.target)


async def upload(engine: Engine, vm: str, source: str, target: str) -> TreeCount:
    """Copy a file or directory of this host into a VM."""
    path = Path(source).expanduser()
    if not path.exists():
        raise NotFound(f"there is no {source!r} on this host")
    if path.is_dir():
        kind = await _kind_in_vm(engine, vm, target)
        if kind is FileType.DIRECTORY and not _means_contents(source):
            target = posixpath.join(target, path.resolve().name)
        elif kind is not None and kind is not FileType.DIRECTORY:
            raise InvalidArgument(f"cannot copy the directory {source!r} onto the file {target!r} in the VM")
    async with progress(f"copying {source} into the VM"):
        return await engine.files.upload(vm, path, target)


async def download(engine: Engine, vm: str, source: str, target: str) -> TreeCount:
    """Copy a file or directory out of a VM."""
    path = Path(target).expanduser()
    entry = await engine.files.stat(vm, source)
    if entry.type is FileType.DIRECTORY:
        if path.is_dir() and not _means_contents(source):
            path /= posixpath.basename(posixpath.normpath(source)) if source.strip("./") else ""
        elif path.exists() and not path.is_dir():
            raise InvalidArgument(f"cannot copy the directory {source!r} of the VM onto the file {target!r}")
    elif target.endswith(os.sep) and not path.is_dir():
        raise NotFound(f"there is no directory {target!r} on this host", remedy="make it first, or leave out the '/'")
    async with progress(f"copying {source} out of the VM"):
        return await engine.files.download(vm, source, path)


def _means_contents(source: str) -> bool:
    return source.endswith("/.") or source == "."


async def _kind_in_vm(engine: Engine, vm: str, path: str) -> FileType | None:
    try:
        return (await engine.files.stat(vm, path)).type
    except NotFound:
        return None
