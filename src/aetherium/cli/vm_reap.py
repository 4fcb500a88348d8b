"""``aetherium vm reap``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import session
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_json, show_table
from aetherium.cli.progress import progress
from aetherium.cli.session import Session


def reap(
    *,
    dry_run: Annotated[bool, Parameter(name=["--dry-run", "-n"], help="Only say what would be removed.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """End and remove what VMs left that nobody tracks any more."""

    async def body(here: Session) -> int:
        async with progress("looking for what was left behind"):
            found = await here.engine.vms.reap(dry_run=dry_run)
        if options.json:
            show_json([{"driver": item.driver, "vm_id": item.vm_id, "reason": item.reason} for item in found])
        else:
            show_table(("DRIVER", "VM", "WHY"), [(item.driver, item.vm_id, item.reason) for item in found])
        return 0

    return session.run(options, body)
