"""``aetherium vm stats``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import session
from aetherium.cli.errors import show_error
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_json, show_table, size, span
from aetherium.cli.session import Session
from aetherium.cli.vm_list import every_vm
from aetherium.model.errors import AetheriumError
from aetherium.model.vm import VMState, VMStats


def stats(
    *vms: Annotated[str, Parameter(metavar="VM", help="Ids or names; without any, all VMs that run.")],
    options: Options = DEFAULTS,
) -> int:
    """Show what VMs use now."""

    async def body(here: Session) -> int:
        names = list(vms) or [vm.id for vm in await every_vm(here.engine, states=(VMState.RUNNING,))]
        code, found = 0, []
        for name in names:
            try:
                found.append(await here.engine.vms.stats(name))
            except AetheriumError as error:
                code = code or show_error(error, json=options.json)
        if options.json:
            from aetherium.model.serial import vm_stats_to_json

            show_json([vm_stats_to_json(item) for item in found])
        else:
            show_table(
                ("VM", "CPU TIME", "MEMORY", "LIMIT", "DISK", "PROCESSES", "COMMANDS", "UP"), list(map(_row, found))
            )
        return code

    return session.run(options, body, recover=not vms)


def _row(item: VMStats) -> tuple[str, ...]:
    return (
        item.vm_id,
        f"{item.cpu_s:.2f} s",
        size(item.memory_bytes),
        size(item.memory_limit_bytes),
        size(item.disk_bytes),
        str(item.processes),
        str(item.execs_running),
        span(item.uptime_s),
    )
