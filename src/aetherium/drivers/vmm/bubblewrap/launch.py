"""Starting ``bwrap``: what it inherits, what it is told, how it tells that it is done."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aetherium.drivers.vmm.bubblewrap import etc, processes, rootfs, seccomp
from aetherium.drivers.vmm.bubblewrap import mounts as user_mounts
from aetherium.drivers.vmm.bubblewrap.cgroups import Group
from aetherium.drivers.vmm.bubblewrap.channel import listener
from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import Disk
from aetherium.drivers.vmm.bubblewrap.failures import explained
from aetherium.drivers.vmm.bubblewrap.processes import Process
from aetherium.drivers.vmm.bubblewrap.staging import Staging
from aetherium.drivers.vmm.bubblewrap.tools import Tools
from aetherium.model.vm import VM
from aetherium.ports.vmm import GUEST_WORKDIR

_SANDBOX: Final = (
    "--unshare-all --unshare-user --disable-userns --as-pid-1 --new-session --cap-drop ALL "
    f"--uid {rootfs.UID} --gid {rootfs.UID}"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to start. ``uid`` is the host uid to change to, None to stay who we are."""

    vm: VM
    disk: Disk
    uid: int | None
    word: str
    agent_args: tuple[str, ...]
    state_dir: Path
    arch: str
    etcs: tuple[Path, ...]
    group: Group


@dataclass(frozen=True, slots=True)
class Launched:
    """A ``bwrap`` that runs. It waits before it starts the agent, until ``go`` gets a byte or is closed.

    ``info`` brings its JSON; ``done`` ends when the agent has closed what it inherited by accident, or all is over.
    ``entered`` are the control groups it was started in.
    """

    pid: int
    info: int
    go: int
    done: int
    entered: frozenset[str]


def spawn(fds: Descriptors, order: Order, tools: Tools) -> Launched:
    """Start ``bwrap``, detached from this process's session and life. Our ends of its pipes are in ``fds``."""
    console = fds.keep(
        os.open(order.disk.console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    )
    order.disk.unlock()
    staging = Staging(fds, uid=order.uid)
    mounts = user_mounts.opened(fds, order.vm.mounts, order.state_dir)
    user_mounts.prepare(order.disk, order.uid, mounts)
    view = rootfs.View(vm=order.vm, disk=order.disk, etc=etc.provided(order.etcs), agent=tools.agent_fd, mounts=mounts)
    info, info_to = fds.incoming()
    done, _ = fds.incoming()
    go, go_from = fds.outgoing()
    status = fds.share(os.open(order.disk.info, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    listen = fds.share(listener(order.disk))
    words = [
        *_SANDBOX,
        *("--hostname", order.vm.id),
        *rootfs.environment(order.vm),
        *rootfs.arguments(fds, staging, view),
        *("--add-seccomp-fd", str(fds.data(seccomp.program(order.arch)))),
        *("--info-fd", str(info_to), "--json-status-fd", str(status), "--block-fd", str(go_from)),
        *("--chdir", GUEST_WORKDIR, "--argv0", order.word, "--", rootfs.AGENT),
        *("serve", "--listen-fd", str(listen), "--workdir", GUEST_WORKDIR, *order.agent_args),
    ]
    program, environment = _program(fds, order, tools)
    child = staging.call(
        lambda: subprocess.Popen(
            [*program, *words],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=environment,
            cwd="/",
            umask=0o022,
            start_new_session=True,
            pass_fds=fds.shared,
        ),
        order.group,
    )
    # The driver waits for it by pidfd; Popen was here only for its vfork and would warn that it still runs.
    child.returncode = 0
    fds.close_shared()
    return Launched(child.pid, info, go, done, staging.entered)


async def first_process(launched: Launched, disk: Disk) -> Process:
    """Return the VM's first process as soon as ``bwrap`` has made it. Raises the error that ``bwrap`` printed."""
    text = b""
    os.set_blocking(launched.info, False)
    while True:
        await processes.readable(launched.info)
        part = os.read(launched.info, 4096)
        text += part
        with suppress(ValueError, KeyError, TypeError):
            found = processes.identify(int(json.loads(text)["child-pid"]))
            if found is not None:
                return found
        if not part:
            raise explained(disk.last_words())


async def agent_started(fds: Descriptors, launched: Launched, init: Process, order: Order) -> None:
    """Let ``bwrap`` go on and return when the agent runs. Raises what was printed when it does not."""
    fds.close(launched.go)
    await processes.readable(launched.done)
    # A process that ends closes its descriptors too, and is still there for a moment; but no longer by this name.
    if processes.words(init.pid)[:1] != [os.fsencode(order.word)]:
        raise explained(order.disk.last_words())


def _program(fds: Descriptors, order: Order, tools: Tools) -> tuple[list[str], dict[str, str]]:
    if order.uid is None:
        return [str(tools.bwrap)], {}
    # By descriptor: the uid that starts it need not reach where it is.
    preload = ":".join(f"/proc/self/fd/{fds.lend(library)}" for library in tools.libraries)
    return [f"/proc/self/fd/{fds.lend(tools.bwrap_fd)}"], {"LD_PRELOAD": preload} if preload else {}
