"""``aetherium vm logs`` and ``vm attach``: what commands in a VM print."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import session
from aetherium.cli.argv import UsageError
from aetherium.cli.errors import warn
from aetherium.cli.foreground import Connection, Live, Sink, carry
from aetherium.cli.options import (
    DEFAULTS,
    Interactive,
    Options,
    Tty,
    VmName,
)
from aetherium.cli.output import show_json
from aetherium.cli.session import Session
from aetherium.cli.vm_execs import ExecId
from aetherium.core.guest.process import Process
from aetherium.model.command import Channel, Exec, ExecState, ExitStatus, Output
from aetherium.model.errors import NotFound
from aetherium.model.states import ALIVE

_LOOK_AGAIN_S = 0.25


class Lines:
    """Prints each piece of output as one JSON object on one line."""

    async def put(self, output: Output) -> None:
        """Print it. Bytes that are not UTF-8 become U+FFFD."""
        show_json(
            {"channel": output.channel.value, "offset": output.offset, "data": output.data.decode("utf-8", "replace")}
        )


def logs(
    vm: VmName,
    exec_id: Annotated[
        str | None, Parameter(metavar="EXEC", help="The command's id; without it the one that was started last.")
    ] = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="Go on until it ends.")] = False,
    offset: Annotated[int, Parameter(metavar="BYTES", help="Leave out so much of the beginning of each channel.")] = 0,
    console: Annotated[bool, Parameter(help="What the machine itself printed, instead of a command.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """Print what a command in a VM printed: what was standard output to standard output, the rest to standard error."""
    if offset < 0:
        raise UsageError("--offset cannot be negative")
    if console and exec_id is not None:
        raise UsageError("--console and a command's id do not go together")

    async def body(here: Session) -> int:
        sink = Lines() if options.json else Live()
        if console:
            await _console(here, vm, sink, offset, follow=follow)
            return 0
        found = await _find(here, vm, exec_id)
        async with here.engine.vms.attach(
            vm,
            found.id,
            stdout_offset=min(offset, found.stdout_bytes),
            stderr_offset=min(offset, found.stderr_bytes),
        ) as process:
            _warn_of_loss(process)
            await _copy(process, sink, None if follow or found.state is ExecState.EXITED else found)
        return 0

    return session.run(options, body)


async def _find(here: Session, vm: str, exec_id: str | None) -> Exec:
    known = await here.engine.vms.execs(vm)
    if exec_id is None and known:
        return known[-1]
    for item in known:
        if item.id == exec_id:
            return item
    what = f"no command {exec_id!r}" if exec_id is not None else "no command yet"
    raise NotFound(f"VM {vm} has run {what}", remedy=f"'aetherium vm ps {vm}' lists those whose output is kept")


async def _copy(process: Process, sink: Sink, until: Exec | None) -> None:
    """Copy output to its end, or, with ``until``, as far as there was some when that was written."""
    while until is None or (
        process.offsets[Channel.STDOUT] < until.stdout_bytes or process.offsets[Channel.STDERR] < until.stderr_bytes
    ):
        item = await process.read()
        if isinstance(item, ExitStatus):
            return
        await sink.put(item)


def _warn_of_loss(process: Process) -> None:
    for channel, count in process.lost.items():
        if count:
            warn(f"the first {count} bytes of {channel.value} are no longer kept")


async def _console(here: Session, vm: str, sink: Sink, offset: int, *, follow: bool) -> None:
    found = await here.engine.vms.get(vm)
    path = (await here.engine.drivers.get(found.driver)).console(found.id)
    if path is None or not path.exists():
        raise NotFound(f"nothing is kept of what VM {found.id} itself printed")
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            while data := file.read(65536):
                await sink.put(Output(Channel.STDOUT, data, offset))
                offset += len(data)
            if not follow or (await here.engine.vms.get(vm)).state not in ALIVE:
                return
            await asyncio.sleep(_LOOK_AGAIN_S)


def attach(
    vm: VmName,
    exec_id: ExecId,
    /,
    *,
    interactive: Interactive = False,
    tty: Tty = False,
    options: Options = DEFAULTS,
) -> int:
    """Connect to a command in a VM as if it had been started here; exit as it exits.

    Signals are passed on to it; the second one leaves it alone and ends only the connection.
    """
    connection = Connection(stdin=interactive, tty=tty)
    connection.check(json=options.json)

    async def body(here: Session) -> int:
        sink = Lines() if options.json else Live()
        async with here.engine.vms.attach(vm, exec_id, stdin=interactive) as process:
            _warn_of_loss(process)
            if (size := connection.size()) is not None:
                await process.resize(size)
            return (await carry(process, connection, sink, here.interrupts)).exit_code

    return session.run(options, body)
