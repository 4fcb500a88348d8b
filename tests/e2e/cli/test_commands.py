"""Commands in a VM: in the foreground, in the background, their output, their end."""

from __future__ import annotations

import json

from tests.e2e.cli.harness import Cli, eventually, finish, read_until


def test_exec_has_the_exit_codes_of_run(cli: Cli, vm: str) -> None:
    for command, code in (
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -9 $$"], 137),
        (["nonesuch"], 127),
        (["/etc/passwd"], 126),
    ):
        assert cli("vm", "exec", vm, "--", *command).returncode == code
    assert cli("vm", "exec", vm, "--timeout", "0.2", "--", "sleep", "60").returncode == 124


def test_exec_options_and_input(cli: Cli, vm: str) -> None:
    shown = cli.ok("vm", "exec", "-i", "-e", "A=x y", "-w", "/tmp", vm, "sh", "-c", 'echo "$A"; pwd; cat', stdin=b"in")
    assert shown.splitlines() == ["x y", "/tmp", "in"]


def test_exec_json(cli: Cli, vm: str) -> None:
    result = cli.json("vm", "exec", vm, "echo", "--json")
    assert (result["exit_code"], result["stdout"], result["truncated"]) == (0, "--json\n", False)


def test_in_the_background(cli: Cli, vm: str) -> None:
    exec_id = cli.ok("vm", "exec", "-d", vm, "--", "sh", "-c", "echo first; echo oops >&2; exec sleep 60")
    listed = {item["id"]: item for item in cli.json("vm", "ps", vm)}
    assert listed[exec_id].keys() >= {"id", "vm_id", "argv", "state", "pid", "stdout_bytes", "stderr_bytes"}
    assert listed[exec_id]["state"] == "running"
    assert exec_id in cli.ok("vm", "ps", "-q", vm).split()

    eventually(lambda: cli("vm", "logs", vm, exec_id).stdout == b"first\n")
    eventually(lambda: cli("vm", "logs", vm, exec_id).stderr == b"oops\n")
    assert cli("vm", "logs", vm, "--offset", "3").stdout == b"st\n"
    lines = [json.loads(line) for line in cli.ok("vm", "logs", vm, exec_id, "--json").splitlines()]
    assert {"channel": "stdout", "offset": 0, "data": "first\n"} in lines
    assert {"channel": "stderr", "offset": 0, "data": "oops\n"} in lines

    following = cli.start("vm", "logs", "--follow", vm, exec_id)
    assert following.stdout is not None
    read_until(following.stdout, b"first\n")
    assert cli.ok("vm", "kill", vm, exec_id, "-s", "TERM") == exec_id
    finish(following)
    assert following.returncode == 0

    ended = next(item for item in cli.json("vm", "ps", vm) if item["id"] == exec_id)
    assert (ended["state"], ended["exit_code"]) == ("exited", 143)
    again = cli("vm", "kill", vm, exec_id)
    assert again.returncode == 125
    assert b"Traceback" not in again.stderr


def test_attach(cli: Cli, vm: str) -> None:
    started = cli.json(
        "vm",
        "exec",
        "--detach",
        vm,
        "--",
        "sh",
        "-c",
        'trap "echo bye; exit 9" TERM; echo hi; while :; do sleep 0.05; done',
    )
    attached = cli.start("vm", "attach", vm, started["id"])
    assert attached.stdout is not None
    read_until(attached.stdout, b"hi\n")
    attached.terminate()
    out, err = finish(attached)
    assert (attached.returncode, out) == (9, b"bye\n")
    assert b"error" not in err  # the shell itself may say how its own child ended


def test_what_is_not_there(cli: Cli, vm: str) -> None:
    for words in (["logs", vm, "nonesuch"], ["attach", vm, "nonesuch"], ["kill", vm, "nonesuch"], ["ps", "nonesuch"]):
        done = cli("vm", *words)
        assert done.returncode == 125, words
        assert done.stderr.startswith(b"error: "), words


def test_the_console_of_a_machine(cli: Cli, vm: str) -> None:
    done = cli("vm", "logs", vm, "--console")
    assert done.returncode in (0, 125)
    assert b"Traceback" not in done.stderr
