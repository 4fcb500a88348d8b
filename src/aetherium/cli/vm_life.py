"""``aetherium vm start``, ``stop``, ``pause``, ``resume``, ``delete``: one act on several VMs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.errors import show_error
from aetherium.cli.options import (
    DEFAULTS,
    Options,
    one,
)
from aetherium.cli.output import show_json, show_lines
from aetherium.cli.progress import progress
from aetherium.cli.session import Session
from aetherium.core.vms import VMs
from aetherium.model.errors import AetheriumError
from aetherium.model.vm import VM

Names = Annotated[str, Parameter(metavar="VM", required=True, help="Ids or names.")]


def start(*vms: Names, options: Options = DEFAULTS) -> int:
    """Start VMs; their files are as they were."""
    return _each(options, vms, "starting", lambda engine, vm: engine.start(vm))


def stop(
    *vms: Names,
    grace: Annotated[
        float,
        Parameter(
            name=["--grace", "-t"],
            metavar="TIME",
            converter=one(parsing.duration_s),
            help="How long its processes get between SIGTERM and SIGKILL.",
        ),
    ] = 10.0,
    force: Annotated[bool, Parameter(name=["--force", "-f"], help="SIGKILL at once.")] = False,
    options: Options = DEFAULTS,
) -> int:
    """Stop VMs; their files stay."""
    return _each(
        options,
        vms,
        "stopping",
        lambda engine, vm: engine.stop(vm, force=force, grace_s=grace, timeout_s=grace + 60),
    )


def pause(*vms: Names, options: Options = DEFAULTS) -> int:
    """Stop the processors of VMs; their memory stays."""
    return _each(options, vms, "pausing", lambda engine, vm: engine.pause(vm))


def resume(*vms: Names, options: Options = DEFAULTS) -> int:
    """Let paused VMs go on."""
    return _each(options, vms, "resuming", lambda engine, vm: engine.resume(vm))


def delete(
    *vms: Names,
    force: Annotated[
        bool, Parameter(name=["--force", "-f"], help="Do not mind VMs that do not exist; running ones end anyway.")
    ] = False,
    options: Options = DEFAULTS,
) -> int:
    """End VMs at once if they run, and forget them with their files."""
    return _each(options, vms, "deleting", _delete, missing_ok=force)


async def _delete(vms: VMs, vm: str) -> None:
    await vms.delete(vm)


def _each(
    options: Options,
    names: tuple[str, ...],
    doing: str,
    act: Callable[[VMs, str], Awaitable[VM | None]],
    *,
    missing_ok: bool = False,
) -> int:
    """Act on every VM, whatever happens to the others; exit with the first failure's code."""

    async def body(here: Session) -> int:
        from aetherium.model.errors import NotFound
        from aetherium.model.serial import vm_to_json

        code = 0
        documents: list[object] = []
        for name in dict.fromkeys(names):
            try:
                async with progress(f"{doing} {name}"):
                    vm = await act(here.engine.vms, name)
            except AetheriumError as error:
                if not (missing_ok and isinstance(error, NotFound)):
                    code = code or show_error(error, json=options.json)
                continue
            if options.json:
                documents.append({"id": name, "state": "deleted"} if vm is None else vm_to_json(vm))
            else:
                show_lines([name])
        if options.json:
            show_json(documents)
        return code

    return session.run(options, body)
