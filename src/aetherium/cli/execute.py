"""Runs one command in a VM for ``run``, ``vm exec`` and ``vm shell``, and reports how it ended."""

from __future__ import annotations

from aetherium.cli.channel import err
from aetherium.cli.foreground import Collected, Connection, Live, carry
from aetherium.cli.output import show_json
from aetherium.cli.session import Session
from aetherium.model.command import Command


async def execute(here: Session, vm: str, command: Command, connection: Connection) -> int:
    """Run a command to its end, and return the exit code. Leaving early kills it."""
    if here.options.json:
        return await _collect(here, vm, command, connection)
    sink = Live()
    async with here.engine.vms.process(vm, command, stdin=connection.stdin) as process:
        status = await carry(process, connection, sink, here.interrupts)
    if status.timed_out:
        err(f"aetherium: the command took longer than {command.timeout_s:g} s and was killed")
    return status.exit_code


async def _collect(here: Session, vm: str, command: Command, connection: Connection) -> int:
    from aetherium.model.serial import exec_result_to_json

    sink = Collected()
    async with here.engine.vms.process(vm, command, stdin=connection.stdin) as process:
        status = await carry(process, connection, sink, here.interrupts)
    show_json(exec_result_to_json(sink.result(status)))
    return status.exit_code
