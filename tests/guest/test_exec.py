"""exec: what a process gets, and what is said about its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aetherium.protocol.frames import FrameType
from tests.guest.agent import Agent
from tests.guest.client import Client, GuestError, os_string


def test_stdout_and_stderr_are_apart(client: Client) -> None:
    result = client.run("sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert result.end is not None and result.reply is not None
    assert result.end["exit_code"] == 0 and result.end["signal"] == 0
    assert (result.end["stdout_bytes"], result.end["stderr_bytes"]) == (4, 4)
    assert sorted(result.eofs) == [0, 1]
    assert result.reply["existing"] is False and result.reply["pid"] > 1
    assert (result.reply["stdout_offset"], result.reply["stderr_offset"]) == (0, 0)


@pytest.mark.parametrize("code", [0, 1, 42, 127, 255])
def test_exit_code(client: Client, code: int) -> None:
    end = client.run("sh", "-c", f"exit {code}").end
    assert end is not None and (end["exit_code"], end["signal"], end["timed_out"]) == (code, 0, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGPIPE, signal.SIGUSR1])
def test_signal_gives_128_and_its_number(client: Client, number: int) -> None:
    end = client.run("sh", "-c", f"kill -{int(number)} $$").end
    assert end is not None and (end["exit_code"], end["signal"]) == (128 + number, number)


def test_binary_output(client: Client) -> None:
    content = bytes(range(256)) * 256
    Path(client.hello["workdir"], "bin").write_bytes(content)
    assert client.run("cat", "bin").stdout == content


def test_binary_arguments(client: Client) -> None:
    assert client.run("printf", "%s", b"\xff\xfe").stdout == b"\xff\xfe"


def test_input_and_its_end(client: Client) -> None:
    stream = client.open("exec", id="cat", argv=["cat"], stdin=True)
    stream.send(b"one ")
    stream.send(b"two")
    stream.eof()
    assert stream.collect().stdout == b"one two"


def test_without_stdin_the_process_reads_nothing(client: Client) -> None:
    assert client.run("sh", "-c", "cat; readlink /proc/self/fd/0").stdout == b"/dev/null\n"


def test_large_input_flows_with_credit(client: Client) -> None:
    content = os.urandom(3_000_000)
    stream = client.open("exec", id="sum", argv=["sha256sum"], stdin=True)
    stream.send(content)
    stream.eof()
    expected = subprocess.run(["sha256sum"], input=content, capture_output=True, check=True).stdout
    assert stream.collect().stdout == expected


def test_closed_input_swallows_the_rest(client: Client) -> None:
    stream = client.open(
        "exec", id="deaf", argv=["sh", "-c", "exec <&-; echo closed; read x <>/dev/null; kill -STOP $$"], stdin=True
    )
    stream.expect(FrameType.REPLY)
    assert stream.next().payload == b"closed\n"
    stream.send(bytes(1_000_000))
    stream.eof()
    client.call("signal", id="deaf", signal=signal.SIGKILL)
    assert stream.collect(reply=False).end is not None


def test_environment_is_laid_over_the_agents_own(start: Callable[..., Agent]) -> None:
    client = start(env={"KEEP": "kept", "DROP": "dropped", "CHANGE": "old", "PATH": "/usr/bin:/bin"}).connect()
    env = {"CHANGE": "new", "DROP": None, "ADD": "a=b", os_string(b"B\xff"): os_string(b"\xfe")}
    result = client.run("env", "-0", env=env)
    variables = set(result.stdout.rstrip(b"\0").split(b"\0"))
    assert variables == {b"KEEP=kept", b"CHANGE=new", b"ADD=a=b", b"PATH=/usr/bin:/bin", b"B\xff=\xfe"}


@pytest.mark.parametrize("name", ["", "A=B"])
def test_bad_variable_name(client: Client, name: str) -> None:
    with pytest.raises(GuestError) as caught:
        client.run("env", env={name: "x"})
    assert caught.value.code == "invalid_argument"


def test_working_directory(client: Client, tmp_path: Path) -> None:
    (tmp_path / "work" / "below").mkdir()
    assert client.run("pwd").stdout.decode().strip() == str(tmp_path / "work")
    assert client.run("pwd", cwd="below").stdout.decode().strip() == str(tmp_path / "work" / "below")
    assert client.run("pwd", cwd="/").stdout == b"/\n"
    for missing in ("missing", "/etc/passwd"):
        with pytest.raises(GuestError) as caught:
            client.run("pwd", cwd=missing)
        assert caught.value.code == "no_such_directory"


def script(path: Path, text: str, mode: int = 0o755) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_command_is_looked_up_in_the_resulting_path(client: Client, tmp_path: Path) -> None:
    for name, says in (("first", "one"), ("second", "two")):
        (tmp_path / name).mkdir()
        script(tmp_path / name / "tool", f"#!/bin/sh\necho {says}\n")
    path = f"{tmp_path}/missing:{tmp_path}/first:{tmp_path}/second"
    assert client.run("tool", env={"PATH": path}).stdout == b"one\n"
    # One that may not be executed does not hide the next.
    (tmp_path / "first" / "tool").chmod(0o644)
    assert client.run("tool", env={"PATH": path}).stdout == b"two\n"
    assert client.run("./tool", cwd=str(tmp_path / "second"), env={"PATH": None}).stdout == b"two\n"


def test_command_that_cannot_be_started(client: Client, tmp_path: Path) -> None:
    script(tmp_path / "work" / "plain", "#!/bin/sh\n", 0o644)
    script(tmp_path / "work" / "odd", "neither program nor script", 0o755)
    script(tmp_path / "work" / "orphan", "#!/no/such/interpreter\n", 0o755)
    cases = {
        "nosuchcommand": "command_not_found",
        "./missing": "command_not_found",
        "./plain/x": "command_not_found",
        "./orphan": "command_not_found",
        "": "command_not_found",
        "./plain": "command_not_executable",
        "./odd": "command_not_executable",
        "/": "command_not_executable",
    }
    for command, code in cases.items():
        with pytest.raises(GuestError) as caught:
            client.run(command)
        assert caught.value.code == code, command
    with pytest.raises(GuestError) as caught:
        client.run("true", "x" * 200_000)
    assert caught.value.code == "argument_too_long"
    # None of them is a process.
    assert client.open("list").collect(reply=False).events == []


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": "x" * 65},
        {"id": "a/b"},
        {"id": "é"},
        {"argv": []},
        {"argv": "true"},
        {"argv": [1]},
        {"argv": None},
        {"env": ["A=B"]},
        {"env": {"A": 1}},
        {"ring_bytes": 4095},
        {"ring_bytes": 64 * 1024 * 1024 + 1},
        {"timeout_ms": 0},
        {"timeout_ms": 2**62},
        {"tty": {"rows": 24}},
        {"tty": {"rows": 24, "cols": 70_000}},
        {"rlimits": {"cpu": [1]}},
        {"rlimits": {"coffee": [1, 1]}},
        {"rlimits": {"nofile": [20, 10]}},
        {"stdin": "yes"},
    ],
)
def test_wrong_fields(client: Client, fields: dict[str, object]) -> None:
    with pytest.raises(GuestError) as caught:
        client.open("exec", **{"id": "x", "argv": ["true"], **fields}).collect()
    assert caught.value.code == "invalid_argument"


def test_timeout_kills_the_whole_group(client: Client) -> None:
    stream = client.open("exec", id="slow", argv=["sh", "-c", "sleep 60 & echo $!; wait"], timeout_ms=200)
    result = stream.collect()
    assert result.end is not None
    assert (result.end["exit_code"], result.end["signal"], result.end["timed_out"]) == (137, 9, True)
    assert 200_000_000 <= result.end["duration_ns"] < 5_000_000_000
    assert (
        not Path(f"/proc/{int(result.stdout)}").exists() or "Z" in Path(f"/proc/{int(result.stdout)}/stat").read_text()
    )


def test_timeout_that_is_not_reached(client: Client) -> None:
    end = client.run("true", timeout_ms=60_000).end
    assert end is not None and end["timed_out"] is False


def test_same_id_starts_nothing_again(client: Client, tmp_path: Path) -> None:
    first = client.run("sh", "-c", "echo ran >>count; cat count", id="once")
    again = client.run("sh", "-c", "echo ran >>count; cat count", id="once")
    assert again.reply is not None and first.reply is not None
    assert again.reply == {**first.reply, "existing": True}
    assert again.stdout == first.stdout == b"ran\n"
    assert again.end == first.end
    assert (tmp_path / "work" / "count").read_text() == "ran\n"


def test_signal_reaches_the_group(client: Client) -> None:
    stream = client.open(
        "exec", id="p", argv=["sh", "-c", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done"]
    )
    stream.expect(FrameType.REPLY)
    assert stream.next().payload == b"ready\n"
    assert client.call("signal", id="p", signal=signal.SIGUSR1) == {}
    result = stream.collect(reply=False)
    assert result.stdout == b"got\n" and result.end is not None and result.end["exit_code"] == 5
    with pytest.raises(GuestError) as caught:
        client.call("signal", id="p", signal=signal.SIGTERM)
    assert caught.value.code == "failed_precondition"
    with pytest.raises(GuestError) as caught:
        client.call("signal", id="unknown", signal=signal.SIGTERM)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("number", [0, 65, -1])
def test_signal_out_of_range(client: Client, number: int) -> None:
    client.open("exec", id="p", argv=["sleep", "60"]).expect(FrameType.REPLY)
    with pytest.raises(GuestError) as caught:
        client.call("signal", id="p", signal=number)
    assert caught.value.code == "invalid_argument"


def test_limits(client: Client) -> None:
    script_text = "ulimit -Sn; ulimit -Hn; ulimit -Sf; ulimit -c; ulimit -Ht"
    result = client.run(
        "bash",
        "-c",
        script_text,
        rlimits={"nofile": [100, 200], "fsize": [1024 * 5, -1], "core": [0, 0], "cpu": [5, 9]},
    )
    assert result.stdout.split() == [b"100", b"200", b"5", b"0", b"9"]
    end = client.run("sh", "-c", "while :; do :; done", rlimits={"cpu": [1, 1]}).end
    assert end is not None and end["signal"] in (signal.SIGKILL, signal.SIGXCPU)


def test_process_has_its_own_session_and_a_clean_slate(client: Client) -> None:
    result = client.run(
        "sh", "-c", "ls /proc/self/fd; grep -E 'SigBlk|SigIgn' /proc/self/status; ps -o pid=,pgid=,sid= -p $$"
    )
    lines = result.stdout.decode().split("\n")
    assert lines[:4] == ["0", "1", "2", "3"], "beside the three only the directory being listed"
    assert "SigBlk:\t0000000000000000" in lines and "SigIgn:\t0000000000000000" in lines
    assert len(set(lines[-2].split())) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
class TestUser:
    def test_numbers(self, client: Client) -> None:
        assert client.run("id", "-u", user="12345").stdout == b"12345\n"
        assert client.run("sh", "-c", "id -u; id -g; id -G", user="12345:54321").stdout == b"12345\n54321\n54321\n"

    def test_name(self, client: Client) -> None:
        nobody = subprocess.run(["id", "nobody"], capture_output=True, check=True).stdout
        assert client.run("id", user="nobody").stdout == nobody

    def test_unknown(self, client: Client) -> None:
        for name in ("nosuchuser", "nosuchuser:5", "5:nosuchgroup", ""):
            with pytest.raises(GuestError) as caught:
                client.run("id", user=name)
            assert caught.value.code == "no_such_user"

    def test_user_owns_the_terminal(self, client: Client) -> None:
        result = client.run(
            "sh",
            "-c",
            "stat -L -c %u /dev/tty0 2>/dev/null; stat -c %u $(tty); echo x >/dev/tty",
            user="12345",
            tty={"rows": 9, "cols": 9},
        )
        assert result.stdout.split()[-2:] == [b"12345", b"x"]


def test_list(client: Client) -> None:
    client.run("sh", "-c", "echo hi; exit 3", id="done")
    running = client.open("exec", id="running", argv=["sh", "-c", "sleep 60", os_string(b"\xff")], background=True)
    reply = running.expect(FrameType.REPLY)
    long = client.open("exec", id="long", argv=["sh", "-c", "sleep 60", "x" * 10_000])
    long.expect(FrameType.REPLY)
    items = {item["id"]: item for item in client.open("list").collect(reply=False).events}
    assert list(items) == ["done", "running", "long"]
    done = items["done"]
    assert (done["state"], done["exit_code"], done["signal"], done["background"]) == ("exited", 3, 0, False)
    assert (done["stdout_bytes"], done["stdout_start"], done["timed_out"]) == (3, 0, False)
    assert items["running"]["argv"] == ["sh", "-c", "sleep 60", os_string(b"\xff")]
    assert items["running"]["pid"] == reply["pid"] and items["running"]["background"] is True
    assert items["running"]["state"] == "running" and "exit_code" not in items["running"]
    assert 3500 < len("".join(items["long"]["argv"])) <= 4096
