"""What ``--help`` and ``version`` print. Imports nothing that they do not need."""

from __future__ import annotations

import os
import sys

from aetherium import __version__


def top_help() -> str:
    """Return the help of ``aetherium`` itself; ``scripts/generate_cli_docs.py`` makes the file."""
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
        return file.read()


def describe(*, short: bool = False, as_json: bool = False) -> str:
    """Return what this installation is."""
    if short:
        return f"aetherium {__version__}"
    facts = collect()
    if as_json:
        import json

        return json.dumps(facts)
    return "\n".join(f"{name:<10} {value or 'not in this installation'}" for name, value in facts.items())


def collect() -> dict[str, str | None]:
    """Return the facts by name."""
    system = os.uname()
    return {
        "aetherium": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "agent": agent_version(),
        "platform": f"{system.sysname} {system.release} {system.machine}",
    }


def agent_version() -> str | None:
    """Return the version that this installation's guest agent says it has; None when it does not run."""
    from aetherium.cli.agent import greeting

    hello = greeting()
    return None if hello is None else str(hello.get("agent"))
