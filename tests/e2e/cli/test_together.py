"""Many calls on one state directory at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.cli.harness import Cli, Done

AT_ONCE = 20


def test_twenty_runs_at_once(cli: Cli, no_vm_left: None) -> None:
    def one(number: int) -> Done:
        return cli("run", "--memory", "64m", "--", "sh", "-c", f"echo {number}; exit {number}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(one, range(AT_ONCE)))
    assert [item.returncode for item in done] == list(range(AT_ONCE)), done
    assert [item.stdout for item in done] == [b"%d\n" % number for number in range(AT_ONCE)]


def test_one_id_is_given_once(cli: Cli) -> None:
    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda _: cli("vm", "create", "--no-start", "wanted"), range(5)))
    assert sorted(item.returncode for item in done) == [0, 125, 125, 125, 125], done
    cli.ok("vm", "delete", "wanted")
