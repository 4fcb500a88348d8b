"""What signals, and readers that go away, do to ``aetherium run``."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cli.harness import DEADLINE_S, Cli, eventually, finish, read_until

STUBBORN = 'trap "echo heard" INT TERM; echo ready; while :; do sleep 0.05; done'


def started(cli: Cli, script: str) -> subprocess.Popen[bytes]:
    """A ``run`` whose command has said that it is ready."""
    process = cli.start("run", "--", "sh", "-c", script)
    assert process.stdout is not None
    read_until(process.stdout, b"ready\n")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_the_commands(cli: Cli, no_vm_left: None, number: signal.Signals) -> None:
    process = started(cli, f"trap 'echo heard; exit 5' {number.value}; echo ready; while :; do sleep 0.05; done")
    process.send_signal(number)
    out, err = finish(process)
    assert (process.returncode, out) == (5, b"heard\n")
    assert b"error" not in err  # the shell itself may say how its own child ended


def test_a_command_that_a_forwarded_signal_ends(cli: Cli, no_vm_left: None) -> None:
    process = started(cli, "echo ready; exec sleep 60")
    process.send_signal(signal.SIGINT)
    finish(process)
    assert process.returncode == 130


def test_the_second_signal_ends_the_work(cli: Cli, no_vm_left: None) -> None:
    process = started(cli, STUBBORN)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    read_until(process.stdout, b"heard\n")
    process.send_signal(signal.SIGINT)
    _, err = finish(process)
    assert (process.returncode, err) == (130, b"")


def test_a_signal_while_the_vm_is_made(cli: Cli, no_vm_left: None) -> None:
    process = cli.start("run", "--", "sleep", "60")
    eventually(lambda: process.poll() is not None or catches(process.pid, signal.SIGTERM))
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert process.returncode == 143


def catches(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_killed_run_leaves_a_vm_that_the_next_call_removes(cli: Cli) -> None:
    process = started(cli, "echo ready; exec sleep 60")
    process.kill()
    process.communicate()
    assert cli.vm_ids() == []


def test_nobody_reads_the_output(cli: Cli, no_vm_left: None) -> None:
    process = cli.start("run", "--", "sh", "-c", "echo ready; exec yes")
    assert process.stdout is not None
    read_until(process.stdout, b"ready\n")
    process.stdout.close()
    process.stdout = None
    _, err = finish(process)
    assert (process.returncode, err) == (141, b"")


def test_a_list_into_a_closed_pipe(cli: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = cli.start("vm", "list", stdout=writer)
    os.close(writer)
    _, err = finish(process)
    assert (process.returncode, err) == (141, b"")


FLOOD = """
import os, signal
signal.signal(signal.SIGINT, lambda *_: open("heard", "w").close())
os.write(1, b"ready\\n")
while True:
    os.write(1, b"x" * 65536)
"""


def test_a_reader_that_stopped_reading_does_not_keep_it_alive(cli: Cli, no_vm_left: None) -> None:
    process = cli.start("run", "--name", "flood", "--", "python3", "-c", FLOOD)
    assert process.stdout is not None
    read_until(process.stdout, b"ready\n")
    process.send_signal(signal.SIGINT)
    eventually(lambda: cli("vm", "exec", "flood", "--", "test", "-e", "heard").returncode == 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=DEADLINE_S) == 143
    finish(process)


def test_output_to_a_full_disk(cli: Cli, no_vm_left: None) -> None:
    with open("/dev/full", "wb") as full:
        process = cli.start("run", "--", "echo", "x", stdout=full)
        _, err = finish(process)
    assert process.returncode == 125
    assert b"No space left" in err
