"""``aetherium run``: a VM for one command."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import Annotated

from cyclopts import Parameter

from aetherium._util.uncancelled import uncancelled
from aetherium.cli import session
from aetherium.cli.argv import UsageError
from aetherium.cli.channel import err
from aetherium.cli.execute import execute
from aetherium.cli.foreground import Connection
from aetherium.cli.options import (
    ANY_MACHINE,
    DEFAULTS,
    NOTHING,
    Copies,
    Env,
    Interactive,
    Machine,
    Options,
    Timeout,
    Tty,
    User,
    Workdir,
)
from aetherium.cli.progress import progress
from aetherium.cli.session import Session
from aetherium.model.command import Command
from aetherium.model.errors import AetheriumError, DeadlineExceeded, GuestUnreachable, NotFound
from aetherium.model.vm import VM, VMConfig

_SPARE_S = 60
"""How much longer than its command a VM may live: time to start, copy in and report."""


def run(
    *command: Annotated[str, Parameter(metavar="COMMAND", help="The command and its arguments.")],
    env: Env = None,
    workdir: Workdir = None,
    user: User = None,
    interactive: Interactive = False,
    tty: Tty = False,
    timeout: Timeout = None,
    copy: Copies = NOTHING,
    keep: Annotated[bool, Parameter(help="Keep the VM when the command has ended.")] = False,
    machine: Machine = ANY_MACHINE,
    options: Options = DEFAULTS,
) -> int:
    """Run a command in a VM of its own, and delete the VM when it ends.

    Exits with the command's own code; 124 when it took too long, 125 when Aetherium failed, 126 when the command cannot
    be executed, 127 when there is none of that name, 128+n when signal n ended it. Everything after ``--``, or from the
    first word on that is no option, is the command.
    """
    if not command:
        raise UsageError("no command given", "write it after '--': aetherium run -- echo hello")
    connection = Connection(stdin=interactive, tty=tty)
    connection.check(json=options.json)
    config = machine.config(options, env, timeout_s=_lifetime(timeout, keep=keep), ephemeral=not keep)
    wanted = Command(
        command[0],
        command[1:],
        env=connection.env(),
        cwd=workdir,
        user=user,
        tty=connection.size(),
        timeout_s=timeout or None,
    )

    async def body(here: Session) -> int:
        async with AsyncExitStack() as stack:
            vm = await _create(here, stack, config, keep=keep)
            try:
                if copy:
                    from aetherium.cli.copying import copy_in

                    await copy_in(here.engine, vm.id, copy)
                return await execute(here, vm.id, wanted, connection)
            except GuestUnreachable as error:
                await _explain(here, vm, error)
                raise

    return session.run(options, body, recover=True)


def _lifetime(timeout: float | None, *, keep: bool) -> float | None:
    """Return the VM's time to live: the configured one, unless its command has a limit of its own."""
    if keep or timeout is None:
        return None
    return timeout + _SPARE_S if timeout else 0


async def _create(here: Session, stack: AsyncExitStack, config: VMConfig, *, keep: bool) -> VM:
    async with progress("creating the VM"):
        vm = await here.engine.vms.create(config)
    if keep:
        if not here.options.json:
            stack.callback(err, f"kept: {vm.id}")
    else:
        stack.push_async_callback(_delete, here, vm.id)
    return vm


async def _delete(here: Session, vm_id: str) -> None:
    with suppress(NotFound):  # somebody else deleted it
        await uncancelled(here.engine.vms.delete(vm_id))


async def _explain(here: Session, vm: VM, error: GuestUnreachable) -> None:
    """Raise DeadlineExceeded when the VM is gone because its time was over."""
    try:
        ended = await here.engine.vms.get(vm.id)
    except AetheriumError:
        return
    if ended.stop_reason is not None and ended.stop_reason.rule == "time_to_live":
        raise DeadlineExceeded(
            f"the VM's time to live of {vm.timeout_s:g} s is over",
            remedy="give the command more with --timeout (0: no limit)",
        ) from error
