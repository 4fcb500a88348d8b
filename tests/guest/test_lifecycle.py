"""The agent itself: how it starts, what it guards, how it ends."""

from __future__ import annotations

import base64
import os
import resource
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherium.protocol.frames import Decoder, Frame, FrameType, encode
from tests.guest.agent import Agent
from tests.guest.client import Client, GuestError

root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root: the agent lets nobody else look into it")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def child_of(client: Client, *argv: str, **fields: object) -> int:
    """Start a process and return the pid it prints."""
    stream = client.open("exec", id=f"child-{time.monotonic_ns()}", argv=list(argv), **fields)
    stream.expect(FrameType.REPLY)
    return int(stream.next().payload)


STAYING = ("sh", "-c", "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done'")


def test_metrics(client: Client) -> None:
    client.open("exec", id="p", argv=["sleep", "60"]).expect(FrameType.REPLY)
    metrics = client.call("metrics")
    assert metrics["execs_running"] == 1 and metrics["connections"] == 1
    assert metrics["processes"] >= 2 and metrics["memory_bytes"] > 1_000_000
    assert 0 < metrics["uptime_ns"] < 60_000_000_000
    assert 0 < metrics["disk_free_bytes"] <= metrics["disk_total_bytes"]
    busy = client.run("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")
    assert busy.end is not None and client.call("metrics")["cpu_ns"] > 0


def test_ttl(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    pid = child_of(client, *STAYING)
    client.call("configure", ttl_ms=60_000)
    client.call("configure", ttl_ms=0)
    client.call("configure", ttl_ms=50)
    assert agent.wait() == 3
    assert not alive(pid)


def test_ttl_option(start: Callable[..., Agent]) -> None:
    began = time.monotonic()
    assert start("--ttl-s", "1").wait() == 3
    assert time.monotonic() - began >= 0.9


def test_linger(start: Callable[..., Agent]) -> None:
    agent = start()
    client, other = agent.connect(), agent.connect()
    pid = child_of(client, *STAYING)
    client.call("configure", linger_ms=50)
    other.close()
    # As long as a host is there nothing happens, however long that is.
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        client.ping()
    client.close()
    assert agent.wait() == 3
    assert not alive(pid)


def test_linger_option_counts_from_the_start(start: Callable[..., Agent]) -> None:
    assert start("--linger-s", "1").wait() == 3


def test_linger_can_be_cleared(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    client.call("configure", linger_ms=1)
    client.call("configure", linger_ms=0)
    client.close()
    agent.connect().ping()


def test_shutdown_asks_first(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    running = client.open(
        "exec", id="p", argv=["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"]
    )
    running.expect(FrameType.REPLY)
    running.next()
    ending = client.open("shutdown")
    result = ending.collect()
    assert result.end == {"killed": 0}
    told = running.collect(reply=False)
    assert told.stdout == b"bye\n" and told.end is not None and told.end["exit_code"] == 3
    assert agent.wait() == 0


def test_shutdown_forces_in_the_end(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    pid = child_of(client, *STAYING)
    result = client.open("shutdown", grace_ms=50).collect()
    assert result.end is not None and result.end["killed"] >= 2
    assert agent.wait() == 0
    assert not alive(pid)


def test_shutdown_by_a_host_that_leaves(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    client.open("shutdown", grace_ms=50).expect(FrameType.REPLY)
    client.close()
    assert agent.wait() == 0


def test_second_shutdown_is_refused(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    child_of(client, *STAYING)
    client.open("shutdown", grace_ms=300).expect(FrameType.REPLY)
    with pytest.raises(GuestError) as caught:
        client.open("shutdown").expect(FrameType.REPLY)
    assert caught.value.code == "failed_precondition"
    agent.process.terminate()
    assert agent.wait() == 0


def test_sigterm_is_a_shutdown(start: Callable[..., Agent]) -> None:
    agent = start()
    pid = child_of(agent.connect(), "sh", "-c", "echo $$; exec sleep 60")
    agent.process.terminate()
    assert agent.wait() == 0
    assert not alive(pid)


def test_detached_descendants_die_with_the_agent(start: Callable[..., Agent]) -> None:
    agent = start()
    client = agent.connect()
    result = client.run("sh", "-c", "setsid sh -c 'sleep 60 & echo $!' & wait")
    pid = int(result.stdout)
    assert alive(pid)
    client.open("shutdown", grace_ms=0).collect()
    assert agent.wait() == 0
    assert not alive(pid)


def test_orphans_are_reaped(agent: Agent, client: Client) -> None:
    pids = client.run("sh", "-c", "for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.02' & echo $!; done").stdout.split()
    assert len(pids) == 5
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{int(pid)}").exists() for pid in pids):
        assert time.monotonic() < deadline
        client.ping()


@root_only
def test_storm_leaks_nothing(agent: Agent, client: Client) -> None:
    client.run("true")
    client.ping()
    before = agent.descriptors()
    for round_number in range(3):
        other = agent.connect()
        for i in range(15):
            other.open("exec", id=f"s{round_number}-{i}", argv=["sh", "-c", "cat; echo err >&2"], stdin=i % 2 == 0)
            other.open("exec", id=f"t{round_number}-{i}", argv=["sleep", "60"], tty={"rows": 5, "cols": 5})
            other.open("read", path="/dev/zero")
            other.open("watch", path=".")
            other.open("write", path=f"f{i}")
            other.open("upload", path="up")
            other.open("download", path="/etc/hostname")
            other.open("exec", id=f"bad{round_number}-{i}", argv=["nosuchcommand"])
        other.ping()
        other.close()
    while client.call("metrics")["connections"] > 1:
        pass
    for item in client.open("list").collect(reply=False).events:
        if item["state"] == "running":
            client.call("signal", id=item["id"], signal=9)
    while client.call("metrics")["execs_running"]:
        pass
    # One after the other comes only after everything before it was cleared away.
    client.run("true")
    assert agent.descriptors() == before
    children = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read_text()
    assert children.split() == []


def test_memory_returns_after_a_burst(agent: Agent, client: Client) -> None:
    idle = agent.rss_kib()
    stream = client.open("write", path="f")
    stream.expect(FrameType.REPLY)
    stream.send(bytes(3_000_000))
    stream.eof()
    stream.collect(reply=False)
    client.run("true", *["x" * 1000] * 1500)
    client.open("read", path="f").collect()
    assert idle < 400, f"{idle} KiB at the start"
    deadline = time.monotonic() + 10
    while agent.rss_kib() > idle + 200:
        assert time.monotonic() < deadline, f"{agent.rss_kib()} KiB, {idle} KiB before"
        client.ping()


@root_only
def test_out_of_descriptors(agent: Agent, client: Client) -> None:
    """An error for that request; what runs goes on, and later requests work again."""
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (agent.descriptors() + 6, 4096))
    streams = []
    with pytest.raises(GuestError) as caught:
        for i in range(10):
            streams.append(client.open("exec", id=f"p{i}", argv=["sleep", "60"]))
            streams[-1].expect(FrameType.REPLY)
    assert caught.value.code == "resource_exhausted"
    client.call("signal", id="p0", signal=9)
    streams[0].collect(reply=False)
    assert client.run("echo", "again").stdout == b"again\n"


@root_only
def test_hosts_wait_while_there_are_no_descriptors(agent: Agent, client: Client) -> None:
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (agent.descriptors(), 4096))
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(agent.path))
        for _ in range(20):
            client.ping()
        resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        waiting.settimeout(10)
        assert b'"version":1' in waiting.recv(65536)


@root_only
def test_inherited_descriptors_are_closed(binary: Path, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    secret = os.open(tmp_path, os.O_RDONLY)
    others = [os.dup(secret) for _ in range(20)]
    command = [str(binary), "serve", "--listen-fd", str(listener.fileno())]
    process = subprocess.Popen(command, pass_fds=[listener.fileno(), secret, *others])
    try:
        with Client(tmp_path / "s") as client:
            links = [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in os.listdir(f"/proc/{process.pid}/fd")]
            assert str(tmp_path) not in links
            listing = client.run("ls", "-l", "/proc/self/fd").stdout.decode()
            assert str(tmp_path) not in listing
            client.open("shutdown").collect()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        listener.close()
        for descriptor in (secret, *others):
            os.close(descriptor)


@root_only
def test_processes_of_the_same_user_cannot_reach_into_the_agent(binary: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        command = [str(binary), "serve", "--listen-fd", str(listener.fileno()), "--workdir", "/"]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], user=12345, group=12345, extra_groups=[])
    try:
        with Client(path) as client:
            assert client.hello["uid"] == 12345
            result = client.run(
                "sh", "-c", f"ls /proc/{process.pid}/fd; cat /proc/{process.pid}/environ; cat /proc/{process.pid}/mem"
            )
            assert result.stdout == b"" and result.stderr.count(b"ermission denied") == 3
            own = client.run("sh", "-c", "ls /proc/self/fd; cat /proc/self/environ")
            assert own.stdout and not own.stderr
            assert client.run("id", "-u", user="12345:12345").stdout == b"12345\n"
            with pytest.raises(GuestError) as caught:
                client.run("id", user="0:0")
            assert caught.value.code == "permission_denied"
            client.open("shutdown").collect()
        assert process.wait(10) == 0
    finally:
        process.kill()


@root_only
def test_oom_score_is_the_agents_alone(agent: Agent, client: Client) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    if subprocess.run(["sh", "-c", "echo -1 >/proc/self/oom_score_adj"], capture_output=True).returncode != 0:
        pytest.skip("root may not lower it here")
    lowered = Path(f"/proc/{agent.process.pid}/oom_score_adj").read_text()
    assert int(lowered) < int(own)
    assert client.run("cat", "/proc/self/oom_score_adj").stdout.decode() == own


def test_listen_binds_a_private_socket(binary: Path, tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    inode = path.stat().st_ino, path.stat().st_ctime_ns
    process = subprocess.Popen([str(binary), "serve", "--listen", str(path), "--workdir", str(tmp_path / "missing")])
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                client = Client(path)
                break
            except (ConnectionRefusedError, FileNotFoundError):
                assert time.monotonic() < deadline
        assert (path.stat().st_ino, path.stat().st_ctime_ns) != inode
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert client.hello["workdir"] == "/"
        assert (
            client.run("sh", "-c", "umask").stdout.strip()
            == subprocess.run(["sh", "-c", "umask"], capture_output=True).stdout.strip()
        )
        client.open("shutdown").collect()
        assert process.wait(10) == 0
        client.close()
    finally:
        process.kill()


def test_stdio(binary: Path) -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([str(binary), "serve", "--stdio"], stdin=theirs.fileno(), stdout=theirs.fileno())
    theirs.close()
    with ours:
        client = Client(ours)
        assert client.hello["version"] == 1
        assert client.run("sh", "-c", "echo hi; readlink /proc/self/fd/0").stdout == b"hi\n/dev/null\n"
    assert process.wait(10) == 0


def test_stdio_over_two_pipes(binary: Path) -> None:
    process = subprocess.Popen([str(binary), "serve", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    request = b'{"op":"exec","id":"x","argv":["head","-c","900000","/dev/zero"]}'
    frames = encode(Frame(FrameType.HELLO, 0, b'{"version":1}')) + encode(Frame(FrameType.REQUEST, 1, request))
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(frames)
    process.stdin.flush()
    decoder, received, ended = Decoder(), 0, False
    while not ended:
        for frame in decoder.feed(os.read(process.stdout.fileno(), 65536)):
            received += len(frame.payload) if frame.type is FrameType.DATA else 0
            ended = ended or frame.type is FrameType.END
    assert received == 900_000
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["run", "--stdio"],
        ["serve", "--listen-fd"],
        ["serve", "--listen-fd", "x"],
        ["serve", "--stdio", "--listen", "/x"],
        ["serve", "--stdio", "--ttl-s", "-1"],
        ["serve", "--stdio", "--unknown"],
    ],
)
def test_wrong_command_line(binary: Path, arguments: list[str]) -> None:
    done = subprocess.run([str(binary), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    assert done.returncode == 2 and b"usage" in done.stderr


def test_thaw_says_what_was_done(client: Client) -> None:
    assert client.call("thaw") == {"clock": False, "entropy": False, "hostname": False}
    entropy = base64.b64encode(os.urandom(64)).decode()
    done = client.call("thaw", entropy=entropy)
    assert done["clock"] is False and done["hostname"] is False and isinstance(done["entropy"], bool)
    for wrong in ({"entropy": "AAAA"}, {"entropy": "!"}, {"hostname": ""}, {"hostname": "x" * 65}, {"time_ns": -1}):
        with pytest.raises(GuestError) as caught:
            client.call("thaw", **wrong)
        assert caught.value.code == "invalid_argument"


def unshared(*options: str) -> list[str] | None:
    """Return a command prefix for namespaces of their own, if they can be had here."""
    prefix = ["unshare", *options]
    return prefix if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0 else None


@root_only
def test_thaw_sets_the_host_name(binary: Path, tmp_path: Path) -> None:
    if (prefix := unshared("--uts")) is None:
        pytest.skip("no namespaces here")
    process = subprocess.Popen([*prefix, str(binary), "serve", "--listen", str(tmp_path / "s")])
    try:
        client = wait_for(tmp_path / "s")
        assert client.call("thaw", hostname="woken")["hostname"] is True
        assert client.run("hostname").stdout == b"woken\n"
        client.open("shutdown").collect()
        client.close()
        assert process.wait(10) == 0
    finally:
        process.kill()


def wait_for(path: Path) -> Client:
    deadline = time.monotonic() + 10
    while True:
        try:
            return Client(path)
        except (ConnectionRefusedError, FileNotFoundError):
            assert time.monotonic() < deadline


@root_only
class TestFirstProcess:
    """The agent as PID 1 of a PID namespace, with and without /proc."""

    def run_as_init(self, binary: Path, tmp_path: Path, *options: str) -> tuple[subprocess.Popen[bytes], Client]:
        prefix = unshared("--pid", "--fork", "--kill-child", *options)
        if prefix is None:
            pytest.skip("no namespaces here")
        process = subprocess.Popen([*prefix, str(binary), "serve", "--listen", str(tmp_path / "s")])
        return process, wait_for(tmp_path / "s")

    def test_reaps_and_shuts_down(self, binary: Path, tmp_path: Path) -> None:
        process, client = self.run_as_init(binary, tmp_path, "--mount-proc")
        try:
            assert client.hello["pid"] == 1
            pid = int(
                client.run("sh", "-c", "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $!").stdout
            )
            assert pid > 1
            assert client.call("metrics")["processes"] >= 2
            result = client.open("shutdown", grace_ms=50).collect()
            assert result.end is not None and result.end["killed"] >= 1
            client.close()
            assert process.wait(10) == 0
        finally:
            client.close()
            process.kill()
            process.wait()

    def test_works_without_proc(self, binary: Path, tmp_path: Path) -> None:
        process, client = self.run_as_init(binary, tmp_path, "--mount")
        try:
            assert client.run("umount", "-l", "/proc").end is not None
            assert client.run("sh", "-c", "echo ok; test -e /proc/self || echo none").stdout == b"ok\nnone\n"
            assert client.run("id", "-u", user="777").stdout == b"777\n"
            assert client.run("stty", "size", tty={"rows": 7, "cols": 9}).stdout == b"7 9\r\n"
            assert client.call("metrics")["processes"] == 1
            with pytest.raises(GuestError) as caught:
                client.call("ports")
            assert caught.value.code == "unsupported"
            client.open("exec", id="left", argv=["sleep", "60"]).expect(FrameType.REPLY)
            result = client.open("shutdown", grace_ms=50).collect()
            assert result.end is not None
            client.close()
            assert process.wait(10) == 0
        finally:
            client.close()
            process.kill()
            process.wait()


def test_signals_of_the_terminal_kind_do_not_harm(agent: Agent, client: Client) -> None:
    os.kill(agent.process.pid, signal.SIGPIPE)
    os.kill(agent.process.pid, signal.SIGCHLD)
    os.kill(agent.process.pid, signal.SIGSTOP)
    os.kill(agent.process.pid, signal.SIGCONT)
    client.ping()
