"""``aetherium run``: exit codes, streams, options."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Cli

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--", "true"], 0),
        (["--", "sh", "-c", "exit 3"], 3),
        (["--", "sh", "-c", "kill -TERM $$"], 143),
        (["--timeout", "0.3", "--", "sleep", "60"], 124),
        (["--driver", "nonesuch", "--", "true"], 125),
        (["--isolation", "vm", "--", "true"], 125),
        (["--user", "nobody-of-that-name", "--", "true"], 125),
        (["--workdir", "/nowhere", "--", "true"], 125),
        (["--image", "nonesuch", "--", "true"], 125),
        (["--", "/etc/passwd"], 126),
        (["--", "nonesuch"], 127),
        (["--", "/nonesuch"], 127),
        ([], 2),
    ],
)
def test_exit_codes(cli: Cli, no_vm_left: None, words: list[str], code: int) -> None:
    done = cli("run", *words)
    assert done.returncode == code
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith((b"error: ", b"aetherium: ")) or code in (0, 3, 143)


def test_bytes_come_out_untouched(cli: Cli, no_vm_left: None) -> None:
    program = (
        "import sys; b = bytes(range(256)); sys.stdout.buffer.write(b * 999); sys.stderr.buffer.write(b[::-1] * 9)"
    )
    done = cli("run", "--", "python3", "-c", program)
    assert done.stdout == EVERY_BYTE * 999
    assert done.stderr == EVERY_BYTE[::-1] * 9


def test_bytes_go_in_untouched_and_words_too(cli: Cli) -> None:
    word = b"\xff\xfe w\xc3\xb6rd\n"
    done = cli("run", "-i", "--", "sh", "-c", 'printf %s "$1"; cat', "sh", word, stdin=EVERY_BYTE * 4096)
    assert done.stdout == word + EVERY_BYTE * 4096


def test_without_i_there_is_no_input(cli: Cli) -> None:
    assert cli("run", "cat", stdin=b"not for you").stdout == b""


def test_options_of_the_command(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/file").write_text("copied")
    words = ["-e", "A=1 2", "-e", "HOME", "-w", "/tmp", "--copy", f"{tmp_path}/tree:/workspace/here"]
    shown = cli.ok(
        "run", *words, "sh", "-c", 'echo "$A"; echo "$HOME"; pwd; cat /workspace/here/below/file', "-e", "B=2"
    )
    assert shown.splitlines() == ["1 2", str(cli.home), "/tmp", "copied"]


def test_mounts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mounted")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    done = cli("run", "--mount", f"{tmp_path}:/data:ro", "--", "sh", "-c", "cat /data/file; touch /data/new")
    assert done.stdout == b"mounted"
    assert done.returncode != 0
    assert not (tmp_path / "new").exists()


def test_json_is_an_exec_result_and_nothing_else(cli: Cli, no_vm_left: None) -> None:
    done = cli("run", "--json", "--", "sh", "-c", "echo out; echo err >&2; exit 4")
    result = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (4, b"")
    assert (result["exit_code"], result["stdout"], result["stderr"]) == (4, "out\n", "err\n")
    assert (result["timed_out"], result["truncated"]) == (False, False)
    assert result["duration_s"] >= 0
    assert result["started_at"].endswith("Z")
    assert "signal" not in result


def test_json_of_a_command_that_a_signal_ended(cli: Cli) -> None:
    done = cli("--json", "run", "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == 137
    assert json.loads(done.stdout)["signal"] == 9


def test_errors_are_json_too(cli: Cli) -> None:
    done = cli("run", "--json", "--", "nonesuch")
    assert (done.returncode, done.stdout) == (127, b"")
    error = json.loads(done.stderr)
    assert error["code"] == "command_not_found"
    assert error["remedy"]


def test_keep_keeps_the_vm_and_its_files(cli: Cli) -> None:
    done = cli("run", "--keep", "--name", "kept", "--label", "a=b", "--", "sh", "-c", "echo here > file")
    assert done.returncode == 0
    vm = cli.json("vm", "status", "kept")
    assert vm["labels"] == {"a": "b"}
    assert vm["id"].encode() in done.stderr
    assert cli.ok("vm", "exec", "kept", "cat", "file") == "here"
    cli.ok("vm", "delete", "kept")


def test_there_is_no_network(cli: Cli) -> None:
    assert cli.ok("run", "--", "python3", "-c", "import socket; print(socket.if_nameindex())") == "[(1, 'lo')]"


def test_limits(cli: Cli) -> None:
    vm = cli.json(
        "vm", "create", "--cpus", "0.5", "--memory", "64m", "--pids-limit", "32", "--timeout", "5m", "limited"
    )
    assert (vm["cpus"], vm["memory_mib"], vm["pids"], vm["timeout_s"]) == (0.5, 64, 32, 300)
    cli.ok("vm", "delete", "limited")
