"""``aetherium vm``: the life of VMs."""

from __future__ import annotations

import json
import re

from tests.e2e.cli.harness import Cli

REQUIRED = {
    "id", "state", "desired_state", "driver", "isolation", "image", "cpus", "memory_mib", "env", "labels", "network",
    "created_at",
}  # fmt: skip


def test_the_whole_life(cli: Cli) -> None:
    made = cli.json("vm", "create", "life", "--name", "full", "-e", "A=1", "--label", "x=y")
    assert made.keys() >= REQUIRED
    assert (made["id"], made["name"], made["state"]) == ("life", "full", "running")
    assert (made["env"], made["labels"], made["network"]) == ({"A": "1"}, {"x": "y"}, "none")

    status = cli.json("vm", "status", "full")
    assert status["health"]["is_healthy"]
    assert cli.ok("vm", "exec", "life", "--", "sh", "-c", "echo $A > file") == ""

    assert cli.ok("vm", "stop", "--grace", "1", "full") == "full"
    stopped = cli.json("vm", "status", "life")
    assert stopped["state"] == "stopped"
    assert stopped["stop_reason"].keys() >= {"who", "rule", "remedy"}

    refused = cli("vm", "exec", "life", "true")
    assert refused.returncode == 125
    assert b"aetherium vm start life" in refused.stderr

    assert cli.json("vm", "start", "life")[0]["state"] == "running"
    assert cli.ok("vm", "exec", "life", "cat", "file") == "1"
    assert cli.json("vm", "pause", "life")[0]["state"] == "paused"
    assert cli.json("vm", "resume", "life")[0]["state"] == "running"
    assert cli.json("vm", "delete", "life") == [{"id": "life", "state": "deleted"}]
    assert cli("vm", "status", "life").returncode == 125


def test_create_without_start(cli: Cli) -> None:
    made = cli.ok("vm", "create", "--no-start")
    assert re.fullmatch(r"vm-[a-z0-9]+", made)
    assert cli.json("vm", "status", made)["state"] == "created"
    assert cli.ok("vm", "start", made) == made
    assert cli.ok("vm", "delete", made) == made


def test_lists(cli: Cli) -> None:
    for name in ("one", "two"):
        cli.ok("vm", "create", name, "--no-start", "--label", f"which={name}", "--label", "all")
    everything = cli.json("vm", "list", "--label", "all")
    assert [vm["id"] for vm in everything] == ["one", "two"]
    assert all(vm.keys() >= REQUIRED for vm in everything)
    assert [vm["id"] for vm in cli.json("vm", "ls", "--label", "which=two")] == ["two"]
    assert cli.json("vm", "list", "--label", "all", "--state", "running") == []
    assert cli.ok("vm", "list", "-q", "-l", "all").split() == ["one", "two"]
    heading, *rows = cli.ok("vm", "list", "--label", "all").splitlines()
    assert heading.split() == ["ID", "NAME", "STATE", "DRIVER", "ISOLATION", "IMAGE", "CREATED"]
    assert [row.split()[0] for row in rows] == ["one", "two"]
    assert cli.ok("vm", "delete", "one", "two").split() == ["one", "two"]


def test_several_at_once_each_fails_for_itself(cli: Cli) -> None:
    cli.ok("vm", "create", "there", "--no-start")
    done = cli("vm", "delete", "missing", "there")
    assert (done.returncode, done.stdout) == (125, b"there\n")
    assert b"'missing'" in done.stderr
    assert cli.ok("vm", "delete", "--force", "there", "missing") == ""


def test_taken_and_bad_names(cli: Cli, vm: str) -> None:
    for words, wanted in ((["box"], b"taken"), (["--name", "box"], b"taken"), (["No Such Id!"], b"1 to 63")):
        done = cli("vm", "create", "--no-start", *words)
        assert (done.returncode, done.stdout) == (125, b"")
        assert wanted in done.stderr


def test_errors_as_json(cli: Cli) -> None:
    done = cli("vm", "status", "nonesuch", "--json")
    assert (done.returncode, done.stdout) == (125, b"")
    error = json.loads(done.stderr)
    assert error["code"] == "not_found"
    assert "vm list" in error["remedy"]


def test_stats(cli: Cli, vm: str) -> None:
    (stats,) = cli.json("vm", "stats", vm)
    assert stats["vm_id"] == vm
    assert stats["processes"] >= 1
    assert stats["memory_bytes"] > 0
    assert vm in cli.ok("vm", "stats")


def test_reap_finds_nothing_of_ours(cli: Cli, vm: str) -> None:
    assert cli.json("vm", "reap", "--dry-run") == []
    assert cli.json("vm", "reap") == []
    assert vm in cli.vm_ids()


def test_global_options_before_and_after_the_verb(cli: Cli, vm: str) -> None:
    elsewhere = str(cli.home / "elsewhere")
    assert json.loads(cli.ok("--state-dir", elsewhere, "vm", "list", "--json")) == []
    assert json.loads(cli.ok("vm", "--json", "list", f"--state-dir={elsewhere}")) == []
    assert vm in [found["id"] for found in json.loads(cli.ok("--json", "vm", "list"))]
