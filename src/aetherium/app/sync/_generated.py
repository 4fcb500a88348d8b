"""The engine's synchronous face.

Made by scripts/generate_sync.py; change the source, not this.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from aetherium.app.open import open_
from aetherium.app.sync.feed import SyncInput, fed
from aetherium.app.sync.portal import Portal, open_portal
from aetherium.core.engine import Engine
from aetherium.core.files import Files
from aetherium.core.guest.process import Process
from aetherium.core.guest.tunnel import Tunnel
from aetherium.core.guest.unpack import UnpackLimits
from aetherium.core.recovery import Reaped
from aetherium.core.vms import MAX_OUTPUT_BYTES, VMList, VMs
from aetherium.model.command import Channel, Command, Exec, ExecResult, ExitStatus, Output, TerminalSize
from aetherium.model.config import Config
from aetherium.model.event import Event
from aetherium.model.files import FileChange, FileEntry, TreeCount
from aetherium.model.vm import VM, Isolation, VMConfig, VMHealth, VMState, VMStats
from aetherium.ports.bus import EventBus


class SyncProcess:
    """A command and our place in its output.

    ``read`` gives output as it comes and at last the ExitStatus. Leaving ``with`` early kills a command that this
    process owns (a foreground exec) and merely detaches from one it attached to.
    """

    def __init__(self, inner: Process, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    @property
    def id(self) -> str:
        """The command's id in its VM."""
        return self._inner.id

    @property
    def pid(self) -> int:
        """The command's process id in its VM."""
        return self._inner.pid

    @property
    def existing(self) -> bool:
        """Whether the command was there before: its key named one that had been started."""
        return self._inner.existing

    @property
    def started_at(self) -> datetime:
        """When the command was started, by the VM's clock."""
        return self._inner.started_at

    @property
    def lost(self) -> dict[Channel, int]:
        """Bytes asked for that the VM no longer keeps."""
        return self._inner.lost

    @property
    def offsets(self) -> dict[Channel, int]:
        """Where the next output of each channel begins."""
        return self._inner.offsets

    @property
    def status(self) -> ExitStatus | None:
        """How the command ended, once ``read`` or ``wait`` has said so."""
        return self._inner.status

    def read(self) -> Output | ExitStatus:
        """Return the next output, or the status when there is no more. Raises GuestUnreachable."""
        return self._portal.call(lambda: self._inner.read())

    def wait(self) -> ExitStatus:
        """Read and drop output until the command ends."""
        return self._portal.call(lambda: self._inner.wait())

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to standard input; waits while the command does not take them."""
        self._portal.call(lambda: self._inner.write(data))

    def close_stdin(self) -> None:
        """End standard input."""
        self._portal.run(lambda: self._inner.close_stdin())

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group. Conflict when it has ended."""
        self._portal.call(lambda: self._inner.signal(number))

    def resize(self, size: TerminalSize) -> None:
        """Tell the command's terminal its new size."""
        self._portal.call(lambda: self._inner.resize(size))


class SyncTunnel:
    """A TCP connection to something in a VM. One reader and one writer may use it at the same time."""

    def __init__(self, inner: Tunnel, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def read(self) -> bytes:
        """Return the next bytes; empty when the other side sends no more. Unavailable when the connection was cut."""
        return self._portal.call(lambda: self._inner.read())

    def wait_closed(self) -> None:
        """Return when both directions have ended and the other side has taken everything; drops what it still sends."""
        self._portal.call(lambda: self._inner.wait_closed())

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, waiting while the other side does not take them. Unavailable when the connection has ended."""
        self._portal.call(lambda: self._inner.write(data))

    def close_write(self) -> None:
        """Say that no more bytes follow; reading goes on. Repeatable."""
        self._portal.run(lambda: self._inner.close_write())


class SyncVMs:
    """Creates, finds, runs and ends VMs.

    Every ``vm`` argument is an id or a name. Methods raise ``AetheriumError`` subclasses: NotFound for an unknown VM,
    Conflict for one in the wrong state, GuestUnreachable when its agent does not answer, DeadlineExceeded after
    ``timeout_s``. Interrupting a call undoes what it began.
    """

    def __init__(self, inner: VMs, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def create(
        self, config: VMConfig | None = None, *, start: bool = True, key: str | None = None, timeout_s: float = 120
    ) -> VM:
        """Create a VM and, unless ``start`` is false, start it; return it when its agent answers.

        ``key`` makes the call idempotent: the same key returns the same VM. AlreadyExists when the id or name is taken;
        DriverUnavailable when nothing here gives the isolation asked for; ResourceExhausted. A create that fails or is
        cancelled leaves nothing.
        """
        return self._portal.call(lambda: self._inner.create(config, start=start, key=key, timeout_s=timeout_s))

    def start(self, vm: str, *, timeout_s: float = 60) -> VM:
        """Start a VM that is created, stopped or failed; its files are as they were. Harmless when it runs."""
        return self._portal.call(lambda: self._inner.start(vm, timeout_s=timeout_s))

    def stop(self, vm: str, *, force: bool = False, grace_s: float = 10, timeout_s: float = 60) -> VM:
        """Stop a VM: its processes get SIGTERM and ``grace_s`` seconds, then SIGKILL; with ``force`` SIGKILL at once.

        Its files stay. Harmless when it does not run.
        """
        return self._portal.call(lambda: self._inner.stop(vm, force=force, grace_s=grace_s, timeout_s=timeout_s))

    def pause(self, vm: str, *, timeout_s: float = 30) -> VM:
        """Stop the VM's processors; its memory stays. Unsupported where the driver cannot."""
        return self._portal.call(lambda: self._inner.pause(vm, timeout_s=timeout_s))

    def resume(self, vm: str, *, timeout_s: float = 30) -> VM:
        """Let a paused VM go on."""
        return self._portal.call(lambda: self._inner.resume(vm, timeout_s=timeout_s))

    def delete(self, vm: str, *, timeout_s: float = 60) -> None:
        """End a VM at once if it runs, and forget it with its files. NotFound when there is none."""
        self._portal.call(lambda: self._inner.delete(vm, timeout_s=timeout_s))

    def get(self, vm: str) -> VM:
        """Return a VM as it is now: one that ended by itself is seen as ended."""
        return self._portal.call(lambda: self._inner.get(vm))

    def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        states: Collection[VMState] = (),
        driver: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> VMList:
        """Return VMs with all these labels, in any of these states (none: all), oldest first, ``limit`` at a time."""
        return self._portal.call(
            lambda: self._inner.list(labels=labels, states=states, driver=driver, limit=limit, after=after)
        )

    def exec(
        self,
        vm: str,
        command: Command,
        *,
        stdin: SyncInput | None = None,
        key: str | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> ExecResult:
        """Run a command to its end and return its output and exit code, whatever that is.

        ``stdin`` is bytes or an iterable of them; without it the command reads nothing. ``key`` makes the call
        idempotent: the same key finds the same command, running or ended. Output beyond ``max_output_bytes`` per
        channel is dropped and ``truncated`` set. Interrupting kills the command. CommandNotFound, CommandNotExecutable
        and InvalidArgument when it cannot be started.
        """
        with fed(stdin) as fed_stdin:
            return self._portal.call(
                lambda: self._inner.exec(vm, command, stdin=fed_stdin, key=key, max_output_bytes=max_output_bytes)
            )

    def stream(
        self, vm: str, command: Command, *, stdin: SyncInput | None = None, key: str | None = None
    ) -> Generator[Output | ExitStatus, None, None]:
        """Run a command and yield its output as it comes, then its ExitStatus. Leaving early kills the command.

        A reader that falls behind slows the command down; memory stays bounded.
        """
        with fed(stdin) as fed_stdin:
            yield from self._portal.iterate(lambda: self._inner.stream(vm, command, stdin=fed_stdin, key=key))

    def process(
        self, vm: str, command: Command, *, stdin: bool = True, key: str | None = None
    ) -> AbstractContextManager[SyncProcess]:
        """Run a command and hold its streams: read, write, resize its terminal, signal it. Leaving early kills it."""
        return self._portal.hold(
            lambda: self._inner.process(vm, command, stdin=stdin, key=key), lambda held: SyncProcess(held, self._portal)
        )

    def spawn(self, vm: str, command: Command, *, key: str | None = None) -> Exec:
        """Start a command in the background and return it; it goes on without us. ``key`` becomes its id."""
        return self._portal.call(lambda: self._inner.spawn(vm, command, key=key))

    def execs(self, vm: str) -> tuple[Exec, ...]:
        """Return the commands that run in a VM and the last ones that ended, oldest first."""
        return self._portal.call(lambda: self._inner.execs(vm))

    def attach(
        self, vm: str, exec_id: str, *, stdout_offset: int = 0, stderr_offset: int = 0, stdin: bool = False
    ) -> AbstractContextManager[SyncProcess]:
        """Attach to a command and read its output from byte offsets (-1: from now on). Leaving does not end it.

        ``Process.lost`` says how many of the bytes asked for are no longer kept.
        """
        return self._portal.hold(
            lambda: self._inner.attach(
                vm, exec_id, stdout_offset=stdout_offset, stderr_offset=stderr_offset, stdin=stdin
            ),
            lambda held: SyncProcess(held, self._portal),
        )

    def signal(self, vm: str, exec_id: str, number: int) -> None:
        """Send a signal to a command's process group. NotFound, Conflict when it has ended."""
        self._portal.call(lambda: self._inner.signal(vm, exec_id, number))

    def ports(self, vm: str) -> tuple[int, ...]:
        """Return the TCP ports on which something in the VM listens."""
        return self._portal.call(lambda: self._inner.ports(vm))

    def connect(self, vm: str, port: int, *, host: str = "127.0.0.1") -> AbstractContextManager[SyncTunnel]:
        """Open a TCP connection to a port inside the VM. Unavailable when nothing listens there."""
        return self._portal.hold(
            lambda: self._inner.connect(vm, port, host=host), lambda held: SyncTunnel(held, self._portal)
        )

    def stats(self, vm: str) -> VMStats:
        """Return what a VM uses. Conflict when it does not run."""
        return self._portal.call(lambda: self._inner.stats(vm))

    def health(self, vm: str, *, timeout_s: float = 5) -> VMHealth:
        """Say whether a VM answers. Only NotFound is raised; everything else is the answer."""
        return self._portal.call(lambda: self._inner.health(vm, timeout_s=timeout_s))

    def reap(self, *, dry_run: bool = False) -> tuple[Reaped, ...]:
        """End and remove what VMs left that nobody tracks; with ``dry_run`` only say what."""
        return self._portal.call(lambda: self._inner.reap(dry_run=dry_run))


class SyncFiles:
    """Reads and writes files in VMs that run.

    ``vm`` is an id or a name; a relative path starts from the VM's work directory. Names that are not UTF-8 have
    surrogate escapes. Errors: NotFound, AlreadyExists, PermissionDenied, InvalidArgument, Conflict (VM not running,
    directory not empty), ResourceExhausted (disk full), GuestUnreachable. Unary calls end after 30 s with
    DeadlineExceeded; transfers last as long as they take.
    """

    def __init__(self, inner: Files, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def stat(self, vm: str, path: str, *, follow: bool = True) -> FileEntry:
        """Return what is at a path; of a symbolic link what it names, unless ``follow`` is false."""
        return self._portal.call(lambda: self._inner.stat(vm, path, follow=follow))

    def list(self, vm: str, path: str = ".") -> tuple[FileEntry, ...]:
        """Return a directory's entries by name. ResourceExhausted for more than 200,000."""
        return self._portal.call(lambda: self._inner.list(vm, path))

    def read(self, vm: str, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes. ResourceExhausted when there are more than 64 MiB: use ``read_stream``."""
        return self._portal.call(lambda: self._inner.read(vm, path, offset=offset, length=length))

    def read_stream(
        self, vm: str, path: str, *, offset: int = 0, length: int | None = None
    ) -> Generator[bytes, None, None]:
        """Yield a file's bytes from ``offset`` in pieces of at most 64 KiB."""
        return self._portal.iterate(lambda: self._inner.read_stream(vm, path, offset=offset, length=length))

    def write(
        self,
        vm: str,
        path: str,
        data: SyncInput,
        *,
        mode: int | None = None,
        append: bool = False,
        parents: bool = False,
    ) -> int:
        """Write a file and return how many bytes. Unless ``append`` it is replaced whole or left as it was.

        ``parents`` makes missing directories.
        """
        with fed(data) as fed_data:
            return self._portal.call(
                lambda: self._inner.write(vm, path, fed_data, mode=mode, append=append, parents=parents)
            )

    def make_directory(self, vm: str, path: str, *, parents: bool = False, mode: int | None = None) -> None:
        """Make a directory; with ``parents`` also those above it, and it may exist already."""
        self._portal.call(lambda: self._inner.make_directory(vm, path, parents=parents, mode=mode))

    def move(self, vm: str, source: str, destination: str) -> None:
        """Rename a file or directory; a file in the way is replaced."""
        self._portal.call(lambda: self._inner.move(vm, source, destination))

    def remove(self, vm: str, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, or a directory: an empty one, or with ``recursive`` any."""
        self._portal.call(lambda: self._inner.remove(vm, path, recursive=recursive, missing_ok=missing_ok))

    def chmod(self, vm: str, path: str, mode: int) -> None:
        """Set the 12 permission bits."""
        self._portal.call(lambda: self._inner.chmod(vm, path, mode))

    def upload(self, vm: str, source: Path, destination: str) -> TreeCount:
        """Copy a file or directory of this host into a VM.

        A directory's contents go into ``destination``, made if missing; a file becomes ``destination``, or goes into it
        if that is a directory. Symbolic links stay what they are; devices and sockets are left out.
        """
        return self._portal.call(lambda: self._inner.upload(vm, source, destination))

    def upload_archive(self, vm: str, archive: Iterable[bytes], destination: str) -> TreeCount:
        """Unpack a tar archive under a directory of a VM, made if missing."""
        with fed(archive) as fed_archive:
            return self._portal.call(lambda: self._inner.upload_archive(vm, fed_archive, destination))

    def download(self, vm: str, source: str, destination: Path, *, limits: UnpackLimits | None = None) -> TreeCount:
        """Copy a file or directory out of a VM, to where ``upload`` would put it.

        What the VM sends is not trusted: nothing is written outside ``destination``, no symbolic link is followed, no
        device made, no set-user-id bit kept, and ``limits`` bound what may come.
        """
        return self._portal.call(lambda: self._inner.download(vm, source, destination, limits=limits))

    def download_archive(self, vm: str, source: str) -> Generator[bytes, None, None]:
        """Yield a tar archive of a file or directory as the VM sends it. It is not examined: unpack it with care."""
        return self._portal.iterate(lambda: self._inner.download_archive(vm, source))

    def watch(self, vm: str, path: str, *, recursive: bool = False) -> AbstractContextManager[Iterator[FileChange]]:
        """Give the changes under a path: all that happen after the context is entered, until it is left."""
        return self._portal.hold_iterator(lambda: self._inner.watch(vm, path, recursive=recursive))


class SyncEventBus:
    """Carries events to subscribers. Order holds per topic; a slow or failing subscriber harms nobody else."""

    def __init__(self, inner: EventBus, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    def publish(self, event: Event) -> None:
        """Hand the event to all subscriptions whose pattern matches its type. Never waits for a subscriber."""
        self._portal.call(lambda: self._inner.publish(event))

    def subscribe(self, pattern: str = "*", *, backlog: int = 1024) -> AbstractContextManager[Iterator[Event]]:
        """Listen from now until the context ends. ``pattern`` is an event type, or a prefix and ``*`` (``vm.*``). A
        subscriber more than ``backlog`` events behind loses the oldest and gets an ``events.lost`` event with
        ``data["count"]`` in their place.
        """
        return self._portal.hold_iterator(lambda: self._inner.subscribe(pattern, backlog=backlog))


class SyncEngine:
    """``vms`` runs machines and commands, ``files`` reaches into their file systems, ``events`` tells what happens."""

    def __init__(self, inner: Engine, portal: Portal) -> None:
        self._inner = inner
        self._portal = portal

    @property
    def vms(self) -> SyncVMs:
        """Machines, and the commands in them."""
        return SyncVMs(self._inner.vms, self._portal)

    @property
    def files(self) -> SyncFiles:
        """The file systems of machines."""
        return SyncFiles(self._inner.files, self._portal)

    @property
    def events(self) -> SyncEventBus:
        """What happens, as it happens."""
        return SyncEventBus(self._inner.events, self._portal)


@contextmanager
def open_sync(
    config: Config | Path | str | None = None,
    *,
    state_directory: Path | str | None = None,
    driver: str | None = None,
    isolation: Isolation | str | None = None,
    recover: bool = True,
    reap: bool = True,
    log: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Iterator[SyncEngine]:
    """Open the engine in this process.

    ``config`` is a Config, a file's path, or None for the usual places. ``driver`` and ``isolation`` override what it
    says. ``recover`` settles at once every VM whose record may be out of date (else each when it is asked for);
    ``reap`` removes what VMs left that the state directory's own store does not know. ``log`` sends the engine's own
    log lines to the configured provider; standard output is the caller's, so ``stdout`` then means standard error.
    Without it they are Python's, under the logger ``aetherium``.

    Raises ConfigInvalid with every problem, PermissionDenied for a state directory that cannot be written.
    """
    with open_portal(
        lambda: open_(
            config,
            state_directory=state_directory,
            driver=driver,
            isolation=isolation,
            recover=recover,
            reap=reap,
            log=log,
            environ=environ,
        )
    ) as (portal, inner):
        yield SyncEngine(inner, portal)
