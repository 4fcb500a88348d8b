"""The command line as a process of its own, on a state directory of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aetherium

DEADLINE_S = 45.0
Done = subprocess.CompletedProcess[bytes]


@dataclass(frozen=True)
class Cli:
    """Calls ``aetherium`` with nothing of the user's own configuration."""

    state: Path
    home: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a call."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AETHERIUM_", "XDG_"))}
        kept["PYTHONPATH"] = str(Path(aetherium.__file__).parents[1])
        return {**kept, "HOME": str(self.home), "AETHERIUM_STATE_DIR": str(self.state), "TERM": "xterm", **self.more}

    def argv(self, *words: str | bytes) -> list[str | bytes]:
        """The words of a call."""
        return [sys.executable, "-m", "aetherium.cli", *words]

    def __call__(self, *words: str | bytes, stdin: bytes = b"", prefix: Sequence[str] = ()) -> Done:
        """Call and wait for the end."""
        return subprocess.run(
            [*prefix, *self.argv(*words)],
            input=stdin,
            capture_output=True,
            env=self.environ,
            cwd=self.home,
            timeout=DEADLINE_S,
        )

    def ok(self, *words: str | bytes, stdin: bytes = b"") -> str:
        """Call, insist on exit code 0, and return what was printed, without the last newline."""
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done}"
        return done.stdout.decode().removesuffix("\n")

    def json(self, *words: str | bytes, stdin: bytes = b"") -> Any:
        """Call with --json, insist on exit code 0, and return the document."""
        return json.loads(self.ok("--json", *words, stdin=stdin))

    def start(self, *words: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
        """Begin a call. Signals of ours do not reach it by themselves."""
        defaults: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "start_new_session": True,
        }
        return subprocess.Popen(self.argv(*words), env=self.environ, cwd=self.home, **{**defaults, **options})

    def vm_ids(self) -> list[str]:
        """The VMs there are."""
        return self.ok("vm", "list", "-q").split()


def read_until(stream: IO[bytes] | int, wanted: bytes, seen: bytearray | None = None) -> bytes:
    """Read until ``wanted`` has come; return everything read. ``seen`` holds what was read before."""
    fd = stream if isinstance(stream, int) else stream.fileno()
    seen = bytearray() if seen is None else seen
    until = time.monotonic() + DEADLINE_S
    while wanted not in seen:
        left = until - time.monotonic()
        assert left > 0, f"{wanted!r} did not come; came: {bytes(seen)!r}"
        if select.select([fd], [], [], left)[0]:
            data = os.read(fd, 65536)
            assert data, f"the end came before {wanted!r}; came: {bytes(seen)!r}"
            seen += data
    return bytes(seen)


def finish(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Wait for the end of a call; return the rest of its output."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise
    return out or b"", err or b""


def eventually(holds: Callable[[], bool]) -> None:
    """Ask until it holds."""
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
