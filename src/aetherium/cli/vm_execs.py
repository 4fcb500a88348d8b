"""``aetherium vm ps`` and ``vm kill``: the commands in a VM."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.options import (
    DEFAULTS,
    Options,
    VmName,
    one,
)
from aetherium.cli.output import ago, show_json, show_lines, show_table
from aetherium.cli.session import Session
from aetherium.model.command import Exec, ExecState

ExecId = Annotated[str, Parameter(metavar="EXEC", help="The command's id; 'aetherium vm ps' lists them.")]
_MOST_OF_A_COMMAND = 60


def ps(
    vm: VmName,
    /,
    *,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="Print ids only.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """List the commands that run in a VM, and the last ones that ended."""

    async def body(here: Session) -> int:
        found = await here.engine.vms.execs(vm)
        if options.json:
            from aetherium.model.serial import exec_to_json

            show_json([exec_to_json(item) for item in found])
        elif quiet:
            show_lines([item.id for item in found])
        else:
            show_table(("ID", "STATE", "PID", "STARTED", "COMMAND"), [_row(item) for item in found])
        return 0

    return session.run(options, body)


def _row(item: Exec) -> tuple[str, ...]:
    import shlex

    line = " ".join(shlex.quote(word) for word in item.argv)
    if len(line) > _MOST_OF_A_COMMAND:
        line = line[: _MOST_OF_A_COMMAND - 3] + "..."
    state = item.state.value if item.state is ExecState.RUNNING else f"exited {item.exit_code}"
    return item.id, state, str(item.pid), ago(item.started_at), line


def kill(
    vm: VmName,
    exec_id: ExecId,
    /,
    *,
    signal: Annotated[
        int,
        Parameter(
            name=["--signal", "-s"],
            metavar="SIGNAL",
            converter=one(parsing.signal_number),
            help="A name or a number; KILL without it.",
        ),
    ] = 9,
    options: Options = DEFAULTS,
) -> int:
    """Send a signal to a command in a VM and to the processes it started."""

    async def body(here: Session) -> int:
        await here.engine.vms.signal(vm, exec_id, signal)
        if options.json:
            show_json({"id": exec_id, "signal": signal})
        else:
            show_lines([exec_id])
        return 0

    return session.run(options, body)
