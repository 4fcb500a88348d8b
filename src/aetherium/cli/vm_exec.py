"""``aetherium vm exec`` and ``vm shell``: commands in a VM that runs."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.argv import UsageError
from aetherium.cli.channel import STDIN, is_terminal
from aetherium.cli.execute import execute
from aetherium.cli.foreground import Connection
from aetherium.cli.options import (
    DEFAULTS,
    Env,
    Interactive,
    Options,
    Timeout,
    Tty,
    User,
    VmName,
    Workdir,
)
from aetherium.cli.output import show_json, show_lines
from aetherium.cli.session import Session
from aetherium.model.command import Command

_SHELL = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi"


def exec_(
    vm: VmName,
    /,
    *command: Annotated[str, Parameter(metavar="COMMAND", help="The command and its arguments.")],
    env: Env = None,
    workdir: Workdir = None,
    user: User = None,
    interactive: Interactive = False,
    tty: Tty = False,
    detach: Annotated[
        bool, Parameter(name=["--detach", "-d"], help="Leave it running in the background; print its id.")
    ] = False,
    timeout: Timeout = None,
    options: Options = DEFAULTS,
) -> int:
    """Run a command in a VM, with the exit codes of ``aetherium run``."""
    if not command:
        raise UsageError("no command given", f"write it after '--': aetherium vm exec {vm} -- echo hello")
    if detach and interactive:
        raise UsageError("-d and -i do not go together", "a command in the background has no input")
    connection = Connection(stdin=interactive, tty=tty)
    connection.check(json=options.json)
    wanted = Command(
        command[0],
        command[1:],
        env={**connection.env(), **parsing.variables(env or (), os.environ)},
        cwd=workdir,
        user=user,
        tty=connection.size(),
        timeout_s=timeout or None,
    )

    async def body(here: Session) -> int:
        if detach:
            return await _detach(here, vm, wanted)
        return await execute(here, vm, wanted, connection)

    return session.run(options, body)


async def _detach(here: Session, vm: str, command: Command) -> int:
    started = await here.engine.vms.spawn(vm, command)
    if here.options.json:
        from aetherium.model.serial import exec_to_json

        show_json(exec_to_json(started))
    else:
        show_lines([started.id])
    return 0


def shell(
    vm: VmName,
    /,
    *,
    env: Env = None,
    workdir: Workdir = None,
    user: User = None,
    options: Options = DEFAULTS,
) -> int:
    """Open a shell in a VM: bash where there is one, else sh."""
    if not is_terminal(STDIN):
        raise UsageError(
            "a shell needs a terminal, and standard input is none", f"aetherium vm exec -i {vm} -- sh  reads a script"
        )
    connection = Connection(stdin=True, tty=True)
    connection.check(json=options.json)
    wanted = Command(
        "sh",
        ("-c", _SHELL),
        env={**connection.env(), **parsing.variables(env or (), os.environ)},
        cwd=workdir,
        user=user,
        tty=connection.size(),
    )

    async def body(here: Session) -> int:
        return await execute(here, vm, wanted, connection)

    return session.run(options, body)
