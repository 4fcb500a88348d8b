"""``aetherium demo``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from aetherium._util.uncancelled import uncancelled
from aetherium.cli import session
from aetherium.cli.demo_guide import Guide, Report, count_passed
from aetherium.cli.demo_project import IDNA, check, fetch
from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import size
from aetherium.cli.progress import progress
from aetherium.cli.session import Session
from aetherium.model.command import Command
from aetherium.model.errors import CommandNotFound, NotFound, Unavailable
from aetherium.model.vm import VMConfig
from aetherium.ports.vmm import GUEST_WORKDIR as _WORK

_NO_NETWORK = """\
import socket
print("network interfaces:", ", ".join(name for _, name in socket.if_nameindex()))
try:
    socket.create_connection(("1.1.1.1", 443), timeout=3)
except OSError as error:
    print("connecting to 1.1.1.1:", error)
else:
    raise SystemExit("connecting to 1.1.1.1: it works, and must not")
"""
_TESTS = "mkfifo out && { tee report.txt <out & python3 -m unittest >out 2>&1; code=$?; wait; exit $code; }"


def demo(
    *,
    step: Annotated[bool, Parameter(help="Wait for Enter between the steps.")] = False,
    archive: Annotated[
        Path | None, Parameter(metavar="FILE", help=f"Use this {IDNA.archive} instead of downloading it.")
    ] = None,
    report: Annotated[
        Path, Parameter(metavar="FILE", help="Where the test report is put that comes out of the VM.")
    ] = Path("aetherium-demo-report.txt"),
    options: Options = DEFAULTS,
) -> int:
    """See the main job done: a real project's own tests, run in a VM that has no network.

    Downloads a source release from PyPI, copies it into a new VM, unpacks and tests it there, and copies the report
    out. Exits with 0 only if the tests passed.
    """

    async def body(here: Session) -> int:
        with tempfile.TemporaryDirectory(prefix="aetherium-demo-") as scratch:
            return await _Demo(here, Guide(quiet=options.json, waits=step, total=8), Path(scratch)).run(archive, report)

    return session.run(options, body, recover=True)


class _Demo:
    def __init__(self, here: Session, guide: Guide, scratch: Path) -> None:
        self._here = here
        self._guide = guide
        self._scratch = scratch

    async def run(self, archive: Path | None, report: Path) -> int:
        archive = await self._fetch(archive)
        guide, vms = self._guide, self._here.engine.vms
        await guide.step("Create a VM. It gets no network card.", "aetherium vm create --network none")
        with guide.clock() as created:
            async with progress("creating the VM"):
                vm = await vms.create(VMConfig(ephemeral=True, labels={"demo": IDNA.name}))
        try:
            guide.say(f"{vm.id}: driver {vm.driver}, isolation {vm.isolation.value}, ready in {created.s:.2f} s")
            first_output_s = created.s + await self._look_around(vm.id)
            await self._unpack(vm.id, archive)
            await self._show_no_network(vm.id)
            exit_code = await self._test(vm.id)
            passed = await self._bring_out(vm.id, report)
        finally:
            await uncancelled(self._delete(vm.id))
        guide.finish(
            Report(
                vm=vm.id,
                driver=vm.driver,
                isolation=vm.isolation.value,
                exit_code=exit_code,
                tests_passed=passed,
                created_s=round(created.s, 3),
                first_output_s=round(first_output_s, 3),
                report=str(report),
            )
        )
        return 0 if exit_code == 0 and passed else exit_code or 1

    async def _fetch(self, archive: Path | None) -> Path:
        guide = self._guide
        what = f"the source release of {IDNA.name} {IDNA.version}"
        if archive is None:
            await guide.step(
                f"Download {what}, a real project with its own tests.",
                f"pip download --no-deps --no-binary :all: {IDNA.name}=={IDNA.version}",
            )
            async with progress(f"downloading {what}"):
                archive = await fetch(IDNA, self._scratch)
        else:
            await guide.step(f"Take {what} from {archive}.")
        check(archive, IDNA)
        guide.say(f"{archive.name}, {size(archive.stat().st_size)}, its sha256 is the one that is pinned")
        guide.say("nothing of it is run on this host")
        return archive

    async def _look_around(self, vm: str) -> float:
        """Return the seconds to the first output."""
        await self._guide.step("Run a first command in it.", f"aetherium vm exec {vm} -- python3 --version")
        try:
            return (await self._guide.show(self._here, vm, Command("python3", ("--version",)))).first_output_s
        except CommandNotFound as error:
            raise Unavailable(
                "the VM has no python3: with this driver it sees the /usr of this host, and there is none",
                remedy="install it (Debian, Ubuntu: apt install python3), then run the demo again",
            ) from error

    async def _unpack(self, vm: str, archive: Path) -> None:
        guide, name = self._guide, IDNA.archive
        await guide.step("Copy the archive into the VM.", f"aetherium vm cp {archive.name} {vm}:{name}")
        count = await self._here.engine.files.upload(vm, archive, f"{_WORK}/{name}")
        guide.say(f"{size(count.bytes)} copied")
        await guide.step("Unpack it, inside.", f"aetherium vm exec {vm} -- tar xzf {name}")
        ended = await guide.show(self._here, vm, Command("tar", ("xzf", name), cwd=_WORK))
        if ended.exit_code:
            raise Unavailable(f"tar exited with {ended.exit_code}", remedy="tar and gzip must be in the VM")
        listing = await self._here.engine.files.list(vm, f"{_WORK}/{IDNA.directory}")
        guide.say(f"{IDNA.directory}/: {', '.join(entry.name for entry in listing)}")

    async def _show_no_network(self, vm: str) -> None:
        await self._guide.step("Try to reach the network from inside.", f"aetherium vm exec {vm} -- python3 -c ...")
        ended = await self._guide.show(self._here, vm, Command("python3", ("-c", _NO_NETWORK)))
        if ended.exit_code:
            raise Unavailable("the VM reaches the network", remedy="this is a defect; please report it")
        self._guide.say("there is none: what runs in there can send nothing out")

    async def _test(self, vm: str) -> int:
        await self._guide.step(
            "Run the project's own tests, inside, and keep what they print.",
            f"aetherium vm exec -w {_WORK}/{IDNA.directory} {vm} -- sh -c '{_TESTS}'",
        )
        tests = Command("sh", ("-c", _TESTS), cwd=f"{_WORK}/{IDNA.directory}", timeout_s=600)
        return (await self._guide.show(self._here, vm, tests)).exit_code

    async def _bring_out(self, vm: str, report: Path) -> int:
        """Return how many tests passed, as the report says."""
        source = f"{_WORK}/{IDNA.directory}/report.txt"
        await self._guide.step("Copy the report out, and delete the VM.", f"aetherium vm cp {vm}:{source} {report}")
        with _readable(report):
            await self._here.engine.files.download(vm, source, report)
            text = report.read_text("utf-8", "replace")
        self._guide.say(f"{report}, {size(len(text))}")
        return count_passed(text)

    async def _delete(self, vm: str) -> None:
        with suppress(NotFound):  # it is gone already
            await self._here.engine.vms.delete(vm)


@contextmanager
def _readable(report: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"cannot write {report}: {error.strerror}", remedy="choose another place with --report"
        ) from error
