"""Starts agents as plain processes on a socket the test has bound."""

from __future__ import annotations

import importlib.util
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from client import Client, Closed

ROOT = Path(__file__).resolve().parents[2]


def _hatch_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def binary() -> Path:
    """The agent for this machine, compiled if need be."""
    path = _hatch_build().build(platform.machine())
    assert isinstance(path, Path)
    return path


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


@pytest.fixture
def start(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Start the test's one agent with options of its own."""
    agents: list[Agent] = []

    def start_agent(*options: str, env: dict[str, str] | None = None) -> Agent:
        agents.append(Agent(binary, tmp_path, *options, env=env))
        return agents[-1]

    yield start_agent
    for agent in agents:
        agent.__exit__()


@pytest.fixture
def agent(start: Callable[..., Agent]) -> Agent:
    return start()


@pytest.fixture
def client(agent: Agent) -> Client:
    return agent.connect()
