"""A running agent, started as a plain process on a socket that is bound before."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.guest.client import Client, Closed


class Agent:
    """A running agent."""

    def __init__(self, binary: Path, directory: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.path = directory / "agent.sock"
        self.workdir = directory / "work"
        self.workdir.mkdir(exist_ok=True)
        self.clients: list[Client] = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen(64)
            command = [
                str(binary),
                "serve",
                "--listen-fd",
                str(listener.fileno()),
                "--workdir",
                str(self.workdir),
                *options,
            ]
            self.process = subprocess.Popen(command, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, env=env)

    def connect(self, *, greet: bool = True) -> Client:
        client = Client(self.path, greet=greet)
        self.clients.append(client)
        return client

    def descriptors(self) -> int:
        """Return how many descriptors the agent has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def rss_kib(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def wait(self, deadline_s: float = 10.0) -> int:
        return self.process.wait(deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            # An agent that died of a signal leaves its processes behind; one that is asked takes them along.
            try:
                with Client(self.path) as client:
                    client.open("shutdown", grace_ms=0)
                    client.wait_closed()
            except (Closed, OSError):
                pass
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
        assert self.process.returncode in (0, 3), f"the agent ended with {self.process.returncode}"
