"""Options that several verbs share, and how each is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from aetherium.cli import parsing
from aetherium.model.vm import Isolation, Mount, Network, VMConfig

GLOBAL = Group("Global options", sort_key=90, help="Accepted before and after the verb.")
MACHINE = Group("The VM", sort_key=20)
COMMAND = Group("The command", sort_key=10)

NOTHING: tuple[Any, ...] = ()


def one(read: Callable[[str], Any]) -> Callable[[type, Any], Any]:
    """Make the parser use ``read`` for an option's one word."""
    return lambda _hint, tokens: read(tokens[0].value)


def each(read: Callable[[str], Any]) -> Callable[[type, Any], Any]:
    """Make the parser use ``read`` for every word of an option that may be repeated."""
    return lambda _hint, tokens: tuple(read(token.value) for token in tokens)


@Parameter(name="*", group=GLOBAL)
@dataclass(frozen=True, kw_only=True)
class Options:
    """The global options."""

    config: Annotated[
        Path | None, Parameter(metavar="FILE", help="Configuration file; else the usual places are looked at.")
    ] = None
    state_dir: Annotated[
        Path | None, Parameter(metavar="DIR", help="Where VMs and state are kept (AETHERIUM_STATE_DIR).")
    ] = None
    driver: Annotated[
        str | None, Parameter(metavar="NAME", help="What makes the VM; 'aetherium doctor' lists them. Default: auto.")
    ] = None
    isolation: Annotated[Isolation | None, Parameter(help="The least isolation that will do.")] = None
    json: Annotated[bool, Parameter(help="Print JSON on standard output, and errors as JSON.")] = False
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], help="Say more: log lines, and tracebacks of defects.")
    ] = False


DEFAULTS = Options()

Copies = Annotated[
    tuple[parsing.CopySpec, ...],
    Parameter(
        name="--copy",
        metavar="SRC:DST",
        group=MACHINE,
        converter=each(parsing.copy),
        n_tokens=1,
        accepts_keys=False,
        help="Copy a file or directory into the VM before the command runs.",
    ),
]
Env = Annotated[
    list[str] | None,
    Parameter(
        name=["--env", "-e"],
        metavar="NAME[=VALUE]",
        group=COMMAND,
        help="Set a variable; without a value, pass on your own.",
    ),
]
Workdir = Annotated[
    str | None, Parameter(name=["--workdir", "-w"], metavar="DIR", group=COMMAND, help="Work directory in the VM.")
]
User = Annotated[
    str | None, Parameter(name=["--user", "-u"], metavar="NAME|UID[:GID]", group=COMMAND, help="User in the VM.")
]
Interactive = Annotated[
    bool, Parameter(name=["--interactive", "-i"], group=COMMAND, help="Connect standard input to the command.")
]
Tty = Annotated[bool, Parameter(name=["--tty", "-t"], group=COMMAND, help="Give the command a terminal.")]
Timeout = Annotated[
    float | None,
    Parameter(
        metavar="TIME",
        group=COMMAND,
        converter=one(parsing.duration_s),
        help="Kill the command after this long (90, 90s, 5m, 1h) and exit with 124.",
    ),
]
VmName = Annotated[str, Parameter(metavar="VM", help="The VM's id or name.")]


@Parameter(name="*", group=MACHINE)
@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a new VM is like."""

    name: Annotated[str | None, Parameter(metavar="NAME", help="A second name to find it by.")] = None
    image: Annotated[str | None, Parameter(metavar="IMAGE", help="What its root file system is made from.")] = None
    cpus: Annotated[float | None, Parameter(metavar="N", help="Processors; may be a fraction.")] = None
    memory: Annotated[
        int | None,
        Parameter(
            name=["--memory", "-m"], metavar="SIZE", converter=one(parsing.size_mib), help="Memory, such as 512m or 2g."
        ),
    ] = None
    pids_limit: Annotated[int | None, Parameter(metavar="N", help="Most processes and threads at once.")] = None
    label: Annotated[
        list[str] | None,
        Parameter(name=["--label", "-l"], metavar="NAME=VALUE", help="A label; 'vm list' can ask for it."),
    ] = None
    mount: Annotated[
        tuple[Mount, ...],
        Parameter(
            metavar="SRC:DST[:ro]",
            converter=each(parsing.mount),
            n_tokens=1,
            accepts_keys=False,
            help="Let the VM see a directory or file of this host.",
        ),
    ] = NOTHING
    network: Annotated[Network, Parameter(help="The network card: none, or the host's network.")] = Network.NONE

    def config(
        self,
        options: Options,
        env: list[str] | None,
        *,
        id: str | None = None,  # noqa: A002
        timeout_s: float | None = None,
        ephemeral: bool = False,
    ) -> VMConfig:
        """Return the request for such a VM. Raises InvalidArgument."""
        return VMConfig(
            id=id,
            name=self.name,
            image=self.image,
            driver=options.driver,
            isolation=options.isolation,
            cpus=self.cpus,
            memory_mib=self.memory,
            pids=self.pids_limit,
            env=parsing.variables(env or (), os.environ),
            labels=parsing.labels(self.label or ()),
            network=self.network,
            mounts=self.mount,
            timeout_s=timeout_s,
            ephemeral=ephemeral,
        )


ANY_MACHINE = Machine()
