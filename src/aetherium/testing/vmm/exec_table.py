"""What commands do, as data. Only POSIX utilities, so that any image with a shell will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aetherium.model.command import Command
from aetherium.model.errors import AetheriumError, CommandNotExecutable, CommandNotFound, InvalidArgument

ODD_WORDS = (
    "two words",
    "  edges  ",
    "'single' \"double\" `back`",
    "$HOME ${HOME} $(id) \\ ; | & < > * ? [a] {b,c} ~ ! #",
    "line\nbreak\n",
    "tab\there",
    "",
    "-n",
    "ünïcödé ✓ 🐧",
    "\udcff\udcfe not UTF-8",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A command and what must come of it."""

    command: Command
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    signal: int | None = None
    stdin: bytes | None = None
    vm_env: Mapping[str, str] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "stdout": Case(Command("echo", ["hello"]), b"hello\n"),
    "stderr": Case(Command.script("echo oops >&2"), stderr=b"oops\n"),
    "both apart": Case(Command.script("echo out; echo err >&2; echo out"), b"out\nout\n", b"err\n"),
    "no output": Case(Command("true")),
    "exit code 1": Case(Command("false"), exit_code=1),
    "exit code 42": Case(Command.script("exit 42"), exit_code=42),
    "exit code 255": Case(Command.script("exit 255"), exit_code=255),
    "ended by SIGKILL": Case(Command.script("kill -9 $$"), exit_code=137, signal=9),
    "ended by SIGTERM": Case(Command.script("kill -15 $$"), exit_code=143, signal=15),
    "exit code that looks like a signal": Case(Command.script("exit 137"), exit_code=137),
    "no stdin": Case(Command("cat")),
    "stdin": Case(Command("cat"), b"given", stdin=b"given"),
    "empty stdin": Case(Command("cat"), b"", stdin=b""),
    "stdin of all bytes": Case(Command("cat"), bytes(range(256)), stdin=bytes(range(256))),
    "stdin not read": Case(Command("true"), stdin=b"nobody wants it"),
    "large stdin not read": Case(Command("true"), stdin=b"x" * 2_000_000),
    "large stdin": Case(Command.script("cat | wc -c | tr -d ' '"), b"5000000\n", stdin=b"x" * 5_000_000),
    "words untouched by a shell": Case(
        Command("printf", ["<%s>", *ODD_WORDS]),
        b"".join(b"<" + word.encode("utf-8", "surrogateescape") + b">" for word in ODD_WORDS),
    ),
    "longest argument": Case(Command("sh", ["-c", "printf %s ${#1}", "sh", "x" * 131_071]), b"131071"),
    "script of many lines": Case(Command.script("set -e\nfor n in 1 2 3\ndo\n  echo $n\ndone\n"), b"1\n2\n3\n"),
    "environment": Case(Command.script('printf %s "$GREETING"', env={"GREETING": "hi $HOME\n"}), b"hi $HOME\n"),
    "environment that is not UTF-8": Case(Command.script('printf %s "$X"', env={"X": "\udcff"}), b"\xff"),
    "environment of the VM": Case(
        Command.script('printf "%s %s" $A $B', env={"B": "command"}), b"vm command", vm_env={"A": "vm", "B": "vm"}
    ),
    "working directory": Case(Command("pwd", cwd="/"), b"/\n"),
    "relative working directory": Case(
        Command.script("mkdir -p sub && cd sub && echo there > f && cd .. && cat sub/f"), b"there\n"
    ),
    "program by path": Case(Command("/bin/sh", ["-c", "echo path"]), b"path\n"),
    "environment's PATH finds the program": Case(
        Command.script(
            "mkdir -p own && printf '#!/bin/sh\\necho mine\\n' > own/tool && chmod +x own/tool && PATH=$PWD/own tool"
        ),
        b"mine\n",
    ),
    "binary output": Case(Command.script("printf '\\000\\001\\377\\000'"), b"\x00\x01\xff\x00"),
    "descriptors are closed": Case(Command.script("ls /proc/self/fd 2>/dev/null | wc -l | tr -d ' '"), b"4\n"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that cannot be started."""

    command: Command
    error: type[AetheriumError]
    prepare: str = "true"


REFUSALS: dict[str, Refusal] = {
    "not found": Refusal(Command("no-such-program"), CommandNotFound),
    "not found by path": Refusal(Command("/no/such/program"), CommandNotFound),
    "not executable": Refusal(Command("./data"), CommandNotExecutable, "echo data > data"),
    "a directory": Refusal(Command("./directory"), CommandNotExecutable, "mkdir -p directory"),
    "no such working directory": Refusal(Command("true", cwd="/no/such/directory"), InvalidArgument),
    "a file as working directory": Refusal(Command("true", cwd="file"), InvalidArgument, "echo > file"),
    "argument of 1 MB": Refusal(Command("echo", ["x" * 1_000_000]), InvalidArgument),
    "3 MB of arguments": Refusal(Command("echo", ["x" * 100_000] * 30), InvalidArgument),
}
