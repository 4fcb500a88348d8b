"""The synchronous face over the real engine, with VMs that are the agent as a child process."""

from __future__ import annotations

import io
import signal
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from aetherium._util.guest_binary import guest_agent
from aetherium.app.sync import SyncEngine, open_sync
from aetherium.model.command import Channel, Command, ExecState, ExitStatus, Output
from aetherium.model.errors import CommandNotFound, Conflict, NotFound, ResourceExhausted
from aetherium.model.files import ChangeType
from aetherium.model.states import ALIVE
from aetherium.model.vm import VM, VMConfig, VMState
from aetherium.testing.requirements import requires
from tests.unit.sync.conftest import interrupt_main


def agent_missing() -> str | None:
    try:
        guest_agent()
    except FileNotFoundError as error:
        return str(error)
    return None


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "aetherium.yaml"
    path.write_text("vmm: {provider: memory, isolation: none}\nstorage: {provider: memory}\n")
    return path


@pytest.fixture
def engine(config: Path, tmp_path: Path) -> Iterator[SyncEngine]:
    requires("memory", unmet=agent_missing())
    with open_sync(config, state_directory=tmp_path / "state", environ={}) as engine:
        yield engine


@pytest.fixture
def vm(engine: SyncEngine) -> str:
    return engine.vms.create(VMConfig(id="agent-1")).id


def test_the_life_of_a_vm(engine: SyncEngine) -> None:
    vm = engine.vms.create(VMConfig(id="agent-1", labels={"team": "blue"}), start=False)
    assert vm.state is VMState.CREATED
    assert engine.vms.start(vm.id).state in ALIVE
    assert engine.vms.health(vm.id).is_healthy
    assert engine.vms.stats(vm.id).vm_id == vm.id
    assert [found.id for found in engine.vms.list(labels={"team": "blue"}).items] == [vm.id]
    assert engine.vms.pause(vm.id).state is VMState.PAUSED
    assert engine.vms.resume(vm.id).state is VMState.RUNNING
    assert engine.vms.stop(vm.id, force=True).state is VMState.STOPPED
    engine.vms.delete(vm.id)
    with pytest.raises(NotFound) as caught:
        engine.vms.get(vm.id)
    assert caught.value.remedy


def test_a_command_and_its_result(engine: SyncEngine, vm: str) -> None:
    result = engine.vms.exec(vm, Command.script("echo out; echo err >&2; exit 3"))
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    with pytest.raises(CommandNotFound):
        engine.vms.exec(vm, Command("no-such-program"))


@pytest.mark.parametrize("pieces", [1, 3, 5000])
def test_input_from_an_iterable(engine: SyncEngine, vm: str, pieces: int) -> None:
    lines = [b"line %d\n" % number for number in range(pieces)]
    result = engine.vms.exec(vm, Command("cat"), stdin=iter(lines))
    assert result.stdout_bytes == b"".join(lines)


def test_output_as_it_comes_and_an_early_end(engine: SyncEngine, vm: str) -> None:
    seen = b""
    for item in engine.vms.stream(vm, Command.script("echo first; exec sleep 1000"), key="sleeper"):
        assert isinstance(item, Output)
        seen += item.data
        if seen == b"first\n":
            break
    with engine.vms.attach(vm, "sleeper") as process:
        assert process.wait().signal == signal.SIGKILL


def test_input_that_answers_to_output(engine: SyncEngine, vm: str) -> None:
    # The iterable waits for what the loop below has read: neither may stop the other.
    questions: list[bytes] = []
    asked = threading.Event()

    def answers() -> Iterator[bytes]:
        yield b"hello\n"
        assert asked.wait(20)
        yield questions[0].upper()

    output = b""
    for item in engine.vms.stream(vm, Command("cat"), stdin=answers()):
        if isinstance(item, Output):
            output += item.data
            questions.append(output)
            asked.set()
        else:
            assert item.exit_code == 0
    assert output == b"hello\nHELLO\n"


def test_a_process_held(engine: SyncEngine, vm: str) -> None:
    with engine.vms.process(vm, Command("cat")) as process:
        assert process.pid > 0
        process.write(b"one")
        first = process.read()
        assert isinstance(first, Output)
        assert first.data == b"one"
        assert process.offsets[Channel.STDOUT] == 3
        assert process.status is None
        process.close_stdin()
        status = process.wait()
        assert isinstance(status, ExitStatus)
        assert process.status == status
        assert status.exit_code == 0


def test_a_command_in_the_background(engine: SyncEngine, vm: str) -> None:
    spawned = engine.vms.spawn(vm, Command.script("echo started; exec sleep 1000"), key="server")
    assert (spawned.id, spawned.state) == ("server", ExecState.RUNNING)
    with engine.vms.attach(vm, "server") as process:
        first = process.read()
        assert isinstance(first, Output)
        assert first.data == b"started\n"
        engine.vms.signal(vm, "server", signal.SIGTERM)
        assert process.wait().signal == signal.SIGTERM
    assert [item.state for item in engine.vms.execs(vm)] == [ExecState.EXITED]


def test_files(engine: SyncEngine, vm: str, tmp_path: Path) -> None:
    with engine.files.watch(vm, ".") as changes:
        assert engine.files.write(vm, "note.txt", [b"a" * 100_000, b"b"]) == 100_001
        assert any(change.path.endswith("note.txt") for change in changes if change.type is not ChangeType.OVERFLOW)
    assert engine.files.read(vm, "note.txt", offset=99_999) == b"ab"
    with closing(engine.files.read_stream(vm, "note.txt")) as pieces:
        assert next(pieces)[:1] == b"a"
    assert [entry.name for entry in engine.files.list(vm)] == ["note.txt"]
    with pytest.raises(NotFound):
        engine.files.stat(vm, "missing")
    archive = b"".join(engine.files.download_archive(vm, "note.txt"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert len(opened.getnames()) == 1
    assert engine.files.upload_archive(vm, [archive], "copies").entries == 1
    assert engine.files.download(vm, "copies", tmp_path / "out").bytes == 100_001


def test_events(engine: SyncEngine) -> None:
    with engine.events.subscribe("vm.*") as events:
        engine.vms.create(VMConfig(id="agent-1"))
        engine.vms.delete("agent-1")
        seen = []
        for event in events:
            seen.append(event.type)
            if event.type == "vm.deleted":
                break
    assert seen[0] == "vm.created"


def test_threads_share_an_engine(engine: SyncEngine, vm: str) -> None:
    def work(number: int) -> str:
        return engine.vms.exec(vm, Command("echo", [str(number)])).stdout

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [f"{number}\n" for number in range(40)]


def test_an_interrupt_kills_the_command(engine: SyncEngine, vm: str, interrupt: type[BaseException]) -> None:
    def input_then_interrupt() -> Iterator[bytes]:
        yield b"the command runs\n"
        interrupt_main()
        yield b""

    with pytest.raises(interrupt):
        engine.vms.exec(vm, Command.script("exec sleep 1000"), stdin=input_then_interrupt(), key="sleeper")
    with engine.vms.attach(vm, "sleeper") as process:
        assert process.wait().signal == signal.SIGKILL


def test_leaving_the_engine_ends_what_is_open(config: Path, tmp_path: Path) -> None:
    requires("memory", unmet=agent_missing())
    with open_sync(config, state_directory=tmp_path / "state", environ={}) as engine:
        vm: VM = engine.vms.create()
        output = engine.vms.stream(vm.id, Command.script("echo first; exec sleep 1000"))
        assert isinstance(next(output), Output)
    with pytest.raises(Conflict, match="the engine is closed"):
        next(output)
    with pytest.raises(Conflict, match="the engine is closed"):
        engine.vms.get(vm.id)


def test_an_engine_that_cannot_be_opened(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = tmp_path / "file" / "state"
    with pytest.raises(ResourceExhausted), open_sync(config, state_directory=state, environ={}):
        pytest.fail("opened")
