"""Starts agents as plain processes on a socket the test has bound."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tests.guest.agent import Agent
from tests.guest.client import Client

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
