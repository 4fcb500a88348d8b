"""``aetherium vm list`` and ``vm status``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.options import (
    DEFAULTS,
    Options,
    VmName,
)
from aetherium.cli.output import ago, show_facts, show_json, show_lines, show_table, span
from aetherium.cli.session import Session
from aetherium.core.engine import Engine
from aetherium.model.vm import VM, VMHealth, VMState


def list_(
    *,
    label: Annotated[
        list[str] | None, Parameter(name=["--label", "-l"], metavar="NAME=VALUE", help="Only VMs with this label.")
    ] = None,
    state: Annotated[list[VMState] | None, Parameter(help="Only VMs in this state.")] = None,
    all: Annotated[  # noqa: A002
        bool, Parameter(name=["--all", "-a"], help="VMs in every state; this is what is listed anyway.")
    ] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="Print ids only.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """List VMs, oldest first."""
    wanted = parsing.labels(label or ())

    async def body(here: Session) -> int:
        found = await every_vm(
            here.engine, labels=wanted, states=() if all else tuple(state or ()), driver=options.driver
        )
        if options.json:
            from aetherium.model.serial import vm_to_json

            show_json([vm_to_json(vm) for vm in found])
        elif quiet:
            show_lines([vm.id for vm in found])
        else:
            show_table(("ID", "NAME", "STATE", "DRIVER", "ISOLATION", "IMAGE", "CREATED"), [_row(vm) for vm in found])
        return 0

    return session.run(options, body, recover=True)


async def every_vm(
    engine: Engine, *, labels: dict[str, str] | None = None, states: tuple[VMState, ...] = (), driver: str | None = None
) -> list[VM]:
    """Return all VMs that match."""
    found: list[VM] = []
    after: str | None = None
    while True:
        page = await engine.vms.list(labels=labels, states=states, driver=driver, after=after)
        found += page.items
        if page.next is None:
            return found
        after = page.next


def _row(vm: VM) -> tuple[str, ...]:
    return (
        vm.id,
        vm.name or "-",
        vm.state.value,
        vm.driver,
        vm.isolation.value,
        vm.image,
        ago(vm.created_at),
    )


def status(vm: VmName, /, *, options: Options = DEFAULTS) -> int:
    """Show a VM: what it is, whether it answers, and why it ended if it did."""

    async def body(here: Session) -> int:
        found = await here.engine.vms.get(vm)
        health = await here.engine.vms.health(found.id)
        if options.json:
            from aetherium.model.serial import vm_health_to_json, vm_to_json

            show_json({**vm_to_json(found), "health": vm_health_to_json(health)})
        else:
            show_facts(_facts(found, health))
        return 0

    return session.run(options, body)


def _facts(vm: VM, health: VMHealth) -> list[tuple[str, str]]:
    limits = ", ".join(vm.limits_enforced) or "none"
    facts = [
        ("id", vm.id),
        *([("name", vm.name)] if vm.name else []),
        ("state", vm.state.value),
        ("healthy", f"{'yes' if health.is_healthy else 'no'} ({health.reason})"),
        ("driver", vm.driver),
        ("isolation", vm.isolation.value),
        ("image", vm.image),
        ("cpus", f"{vm.cpus:g}"),
        ("memory", f"{vm.memory_mib} MiB"),
        ("limits held", limits),
        ("network", vm.network.value),
        *(("mount", f"{m.source}:{m.target}{':ro' if m.read_only else ''}") for m in vm.mounts),
        *(("label", f"{name}={value}") for name, value in vm.labels.items()),
        ("time to live", span(vm.timeout_s) if vm.timeout_s else "no limit"),
        *((what, f"{ago(at)} ({at.isoformat(timespec='seconds')})") for what, at in _times(vm) if at is not None),
    ]
    if vm.expires_at is not None and vm.stopped_at is None:
        facts.append(("ends by", vm.expires_at.isoformat(timespec="seconds")))
    if (reason := vm.stop_reason) is not None:
        because = " ".join(word for word in (reason.limit, reason.evidence) if word)
        facts.append(("ended by", f"{reason.who}: {reason.rule}{f' ({because})' if because else ''}"))
        facts.append(("remedy", reason.remedy))
    return facts


def _times(vm: VM) -> tuple[tuple[str, datetime | None], ...]:
    return (("created", vm.created_at), ("started", vm.started_at), ("stopped", vm.stopped_at))
