"""``aetherium vm create``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.argv import UsageError
from aetherium.cli.options import (
    ANY_MACHINE,
    DEFAULTS,
    MACHINE,
    NOTHING,
    Copies,
    Env,
    Machine,
    Options,
    one,
)
from aetherium.cli.output import show_json, show_lines
from aetherium.cli.progress import progress
from aetherium.cli.session import Session


def create(
    id: Annotated[  # noqa: A002 (it is the id, and the parser shows the name)
        str | None, Parameter(metavar="ID", help="The VM's id; one is made up without it.")
    ] = None,
    /,
    *,
    start: Annotated[
        bool, Parameter(name="--start", negative="--no-start", group=MACHINE, help="Start it too.")
    ] = True,
    timeout: Annotated[
        float | None,
        Parameter(
            metavar="TIME",
            group=MACHINE,
            converter=one(parsing.duration_s),
            help="Its time to live after each start (90, 90s, 5m, 1h; 0: no limit).",
        ),
    ] = None,
    env: Env = None,
    copy: Copies = NOTHING,
    machine: Machine = ANY_MACHINE,
    options: Options = DEFAULTS,
) -> int:
    """Create a VM, start it, and print its id."""
    if copy and not start:
        raise UsageError("--copy and --no-start do not go together", "start the VM, then use 'aetherium vm cp'")
    config = machine.config(options, env, id=id, timeout_s=timeout)

    async def body(here: Session) -> int:
        async with progress("creating the VM"):
            vm = await here.engine.vms.create(config, start=start)
        if copy:
            from aetherium.cli.copying import copy_in

            await copy_in(here.engine, vm.id, copy)
        if options.json:
            from aetherium.model.serial import vm_to_json

            show_json(vm_to_json(vm))
        else:
            show_lines([vm.id])
        return 0

    return session.run(options, body, recover=True)
