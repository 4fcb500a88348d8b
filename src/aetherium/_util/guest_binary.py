"""Where the guest agent's binaries are in this installation."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).resolve().parent.parent / "_guest"


def guest_agent(arch: str | None = None) -> Path:
    """Return the agent for ``arch`` (``x86_64``, ``aarch64``; default: this host's). Raises FileNotFoundError."""
    path = _DIRECTORY / f"aetherium-guest-{arch or platform.machine()}"
    if not path.is_file():
        raise FileNotFoundError(f"no guest agent for {arch or platform.machine()} in this installation: {path}")
    return path
