"""A terminal in a VM, driven through a real one."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.e2e.cli.harness import DEADLINE_S, Cli, read_until


@dataclass
class Terminal:
    """A user's terminal with ``aetherium`` in it."""

    process: subprocess.Popen[bytes]
    fd: int
    slave: int
    before: list[object]
    seen: bytearray = field(default_factory=bytearray)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.fd, keys)

    def expect(self, wanted: bytes) -> None:
        """Wait until something is on the screen, and forget what came before it."""
        read_until(self.fd, wanted, self.seen)
        del self.seen[: self.seen.index(wanted) + len(wanted)]

    def resize(self, rows: int, cols: int) -> None:
        """Change the window's size."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def is_raw(self) -> bool:
        """Say whether keys go through untouched."""
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def end(self) -> int:
        """Wait for the end; the terminal must be as it was."""
        code = self.process.wait(DEADLINE_S)
        assert termios.tcgetattr(self.slave) == self.before
        return code


@pytest.fixture
def opened(cli: Cli) -> Iterator[list[Terminal]]:
    """Terminals to close."""
    terminals: list[Terminal] = []
    yield terminals
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.fd)
        os.close(terminal.slave)


def terminal(cli: Cli, opened: list[Terminal], *words: str) -> Terminal:
    """Start ``aetherium`` in a terminal of 30 x 100."""
    fd, slave = pty.openpty()
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(slave)
    process = cli.start(
        *words,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    opened.append(Terminal(process, fd, slave, before))
    return opened[-1]


def test_a_shell(cli: Cli, vm: str, opened: list[Terminal]) -> None:
    shell = terminal(cli, opened, "vm", "shell", vm)
    shell.type(b"PS1='ready''> '; echo shell-$((40+2))\n")
    shell.expect(b"shell-42")
    assert shell.is_raw()
    shell.type(b"stty size\n")
    shell.expect(b"30 100")
    shell.resize(40, 120)
    shell.type(b"until stty size | grep '40 120'; do :; done\n")
    shell.expect(b"40 120\r\n")
    shell.type(b"echo term=$TERM; tty\n")
    shell.expect(b"term=xterm")
    shell.expect(b"/dev/pts/")
    shell.type(b"sed -u y/ab/AB/\n")
    shell.type(b"ab\n")
    shell.expect(b"AB\r\n")  # only sed says that: it is there to be interrupted
    shell.type(b"\x03")  # Ctrl-C is the command's, not ours
    shell.expect(b"ready> ")  # a terminal drops what was typed ahead of an interrupt
    shell.type(b"echo code-$?\n")
    shell.expect(b"code-130")
    shell.type(b"exit 7\n")
    assert shell.end() == 7


def test_end_of_input_ends_a_shell(cli: Cli, vm: str, opened: list[Terminal]) -> None:
    shell = terminal(cli, opened, "vm", "exec", "-it", vm, "--", "sh")
    shell.type(b"echo ready-$((1+1))\n")
    shell.expect(b"ready-2")
    shell.type(b"\x04")
    assert shell.end() == 0


def test_run_with_a_terminal(cli: Cli, no_vm_left: None, opened: list[Terminal]) -> None:
    run = terminal(
        cli, opened, "run", "-it", "--", "sh", "-c", "test -t 0 && test -t 1 && echo yes; read x; echo got-$x"
    )
    run.expect(b"yes\r\n")
    run.type(b"keys\r")
    run.expect(b"got-keys\r\n")
    assert run.end() == 0


def test_sigterm_restores_the_terminal(cli: Cli, no_vm_left: None, opened: list[Terminal]) -> None:
    run = terminal(cli, opened, "run", "-it", "--", "sh", "-c", "echo ready; sleep 60")
    run.expect(b"ready")
    assert run.is_raw()
    run.process.terminate()
    assert run.end() == 143


def test_a_vm_that_is_gone_restores_the_terminal(cli: Cli, opened: list[Terminal]) -> None:
    cli.ok("vm", "create", "doomed")
    shell = terminal(cli, opened, "vm", "shell", "doomed")
    shell.type(b"echo ready-$((1+1))\n")
    shell.expect(b"ready-2")
    cli.ok("vm", "delete", "doomed")
    shell.expect(b"VM doomed")
    assert shell.end() == 125


def test_ctrl_c_without_a_terminal_for_the_command(cli: Cli, no_vm_left: None, opened: list[Terminal]) -> None:
    run = terminal(
        cli, opened, "run", "--", "sh", "-c", "trap 'echo heard; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    )
    run.expect(b"ready")
    run.type(b"\x03")
    run.expect(b"heard")
    assert run.end() == 6


def test_no_terminal_here(cli: Cli, vm: str) -> None:
    for words in (["run", "-it", "--", "sh"], ["vm", "shell", vm], ["run", "-t", "--json", "--", "sh"]):
        done = cli(*words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"terminal" in done.stderr


def test_a_terminal_for_the_command_alone(cli: Cli) -> None:
    assert cli("run", "-t", "--", "sh", "-c", "test -t 1 && echo yes").stdout == b"yes\r\n"
