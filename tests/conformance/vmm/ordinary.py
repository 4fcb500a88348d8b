"""Run a command as an ordinary user, also where root keeps Python in a directory that nobody else can enter.

``python ordinary.py UID DIRECTORY... -- COMMAND...``, in a mount namespace of its own (``unshare --mount``): where a
directory on the way to one of DIRECTORY is closed to others, an empty open one is mounted over it there, and in it only
DIRECTORY is to be seen, at its own place. So the interpreter, its virtual environment and the sources keep their paths,
and nothing outside the namespace changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def closed_ancestor(path: Path) -> Path | None:
    """Return the uppermost directory on the way to ``path``, or itself, that others cannot enter."""
    return next((place for place in (*reversed(path.parents), path) if not place.stat().st_mode & 0o001), None)


def open_up(directories: Sequence[Path]) -> None:
    """Make ``directories`` reachable for everybody in this mount namespace."""
    closed: dict[Path, list[Path]] = {}
    for directory in directories:
        found = closed_ancestor(directory)
        if found is not None:
            closed.setdefault(found, []).append(directory)
    for place, inside in closed.items():
        with tempfile.TemporaryDirectory() as name:
            kept = [(directory, Path(name) / str(number)) for number, directory in enumerate(inside)]
            for directory, copy in kept:
                copy.mkdir()
                mount("--bind", directory, copy)
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", place)
            for directory, copy in kept:
                directory.mkdir(mode=0o755, parents=True, exist_ok=True)
                mount("--bind", copy, directory)
                subprocess.run(["umount", copy], check=True)


def mount(*arguments: str | Path) -> None:
    """Mount something."""
    subprocess.run(["mount", *arguments], check=True)


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    split = arguments.index("--")
    uid, directories, command = arguments[0], arguments[1:split], arguments[split + 1 :]
    open_up([Path(directory).resolve() for directory in directories])
    drop = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    os.execvp("setpriv", [*drop, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
