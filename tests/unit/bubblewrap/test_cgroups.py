from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap import accounts, cgroups
from aetherium.drivers.vmm.bubblewrap.cgroups import Hierarchy
from aetherium.model.vm import VM, Isolation, VMState


def vm(**fields: float) -> VM:
    return VM(
        id="vm-1",
        name=None,
        state=VMState.CREATED,
        desired_state=VMState.RUNNING,
        driver="bubblewrap",
        isolation=Isolation.NAMESPACE,
        image="host",
        created_at=datetime.now(UTC),
        **{"cpus": 1.5, "memory_mib": 64, "pids": 32, **fields},  # type: ignore[arg-type]
    )


def row(mount: Path, kind: str, options: str, root: str = "/") -> str:
    escaped = str(mount).replace(" ", "\\040")
    return f"36 31 0:33 {root} {escaped} rw,relatime - {kind} {kind} {options}\n"


def make_v2(directory: Path, *, available: str, enabled: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.controllers").write_text(available)
    (directory / "cgroup.subtree_control").write_text(enabled)
    (directory / "cgroup.procs").write_text("")


class TestVersion1:
    def test_each_controller_below_our_own_group(self, tmp_path: Path) -> None:
        (tmp_path / "memory" / "service").mkdir(parents=True)
        (tmp_path / "pids").mkdir()
        table = row(tmp_path / "memory", "cgroup", "rw,memory") + row(tmp_path / "pids", "cgroup", "rw,pids")
        found = cgroups.discover(table, "4:memory:/service\n8:pids:/\n0::/\n")
        assert found == [
            Hierarchy(str(tmp_path / "memory" / "service"), frozenset({"memory"}), False),
            Hierarchy(str(tmp_path / "pids"), frozenset({"pids"}), False),
        ]
        assert cgroups.expected(found) == ("memory_mib", "pids")

    def test_controllers_that_share_a_tree(self, tmp_path: Path) -> None:
        table = row(tmp_path, "cgroup", "rw,cpu,cpuacct")
        (found,) = cgroups.discover(table, "2:cpu,cpuacct:/\n")
        assert found.controllers == {"cpu", "cpuacct"}

    def test_a_container_sees_its_own_group_as_the_mount(self, tmp_path: Path) -> None:
        table = row(tmp_path, "cgroup", "rw,memory", root="/docker/abc")
        assert cgroups.discover(table, "4:memory:/docker/abc\n")[0].base == str(tmp_path)
        assert cgroups.discover(table, "4:memory:/docker/abc/sub\n") == []  # is not there

    def test_a_mount_from_outside_the_namespace_is_left_alone(self, tmp_path: Path) -> None:
        assert cgroups.discover(row(tmp_path, "cgroup", "rw,memory", root="/../.."), "4:memory:/x\n") == []

    def test_spaces_in_a_mount_point(self, tmp_path: Path) -> None:
        place = tmp_path / "a place"
        place.mkdir()
        assert cgroups.discover(row(place, "cgroup", "rw,pids"), "1:pids:/\n")[0].base == str(place)


class TestVersion2:
    def test_below_our_own_group_when_that_hands_controllers_on(self, tmp_path: Path) -> None:
        make_v2(tmp_path, available="cpu memory pids io", enabled="cpu memory pids")
        own = tmp_path / "user" / "scope"
        make_v2(tmp_path / "user", available="cpu memory pids", enabled="cpu memory pids")
        make_v2(own, available="cpu memory pids", enabled="cpu memory pids")
        (found,) = cgroups.discover(row(tmp_path, "cgroup2", "rw"), "0::/user/scope\n")
        assert found == Hierarchy(str(own), frozenset({"cpu", "memory", "pids"}), True)
        assert cgroups.expected([found]) == ("cpus", "memory_mib", "pids")

    def test_the_nearest_ancestor_that_can(self, tmp_path: Path) -> None:
        make_v2(tmp_path, available="cpu memory pids", enabled="cpu memory pids")
        make_v2(tmp_path / "service", available="cpu memory pids", enabled="")
        (tmp_path / "service" / "cgroup.subtree_control").unlink()  # what the kernel refuses to a group with processes
        (tmp_path / "service" / "cgroup.subtree_control").mkdir()
        (found,) = cgroups.discover(row(tmp_path, "cgroup2", "rw"), "0::/service\n")
        assert found.base == str(tmp_path)

    def test_hybrid_uses_version_2_only_for_what_version_1_lacks(self, tmp_path: Path) -> None:
        make_v2(tmp_path / "unified", available="pids", enabled="pids")
        (tmp_path / "memory").mkdir()
        table = row(tmp_path / "memory", "cgroup", "rw,memory") + row(tmp_path / "unified", "cgroup2", "rw")
        first, second = cgroups.discover(table, "4:memory:/\n0::/\n")
        assert (first.is_v2, second.is_v2) == (False, True)
        assert second.controllers == {"pids"}


@pytest.mark.parametrize("text", ["", "garbage", "1 2 3 - cgroup", "\n\n", "a b c d e f - cgroup2 x"])
def test_a_table_that_makes_no_sense_is_no_group(text: str) -> None:
    assert cgroups.discover(text, text) == []


def test_settings_of_version_2(tmp_path: Path) -> None:
    make_v2(tmp_path, available="cpu memory pids", enabled="cpu memory pids")
    tree = Hierarchy(str(tmp_path), frozenset({"cpu", "memory", "pids"}), True)
    path = Path(cgroups.planned([tree], "mark.vm-1")[0])
    make_v2(path, available="", enabled="")
    for name in ("cpu.max", "memory.max", "memory.swap.max", "pids.max"):
        (path / name).touch()
    group = cgroups.put(cgroups.make([tree], "mark.vm-1", vm()), vm(), [1])
    assert group.limits == {"cpus", "memory_mib", "pids"}
    assert (path / "cpu.max").read_text() == "150000 100000"
    assert (path / "memory.max").read_text() == str(64 << 20)
    assert (path / "pids.max").read_text() == "36"


def test_a_limit_that_is_refused_is_not_claimed(tmp_path: Path) -> None:
    tree = Hierarchy(str(tmp_path), frozenset({"cpu", "pids"}), False)
    path = Path(cgroups.planned([tree], "mark.vm-1")[0])
    path.mkdir(parents=True)
    (path / "cgroup.procs").touch()
    (path / "pids.max").touch()
    assert cgroups.put(cgroups.make([tree], "mark.vm-1", vm()), vm(), [1]).limits == {"pids"}


def test_no_limit_is_claimed_when_the_processes_cannot_be_moved(tmp_path: Path) -> None:
    tree = Hierarchy(str(tmp_path), frozenset({"pids"}), False)
    path = Path(cgroups.planned([tree], "mark.vm-1")[0])
    path.mkdir(parents=True)
    (path / "pids.max").touch()
    assert cgroups.put(cgroups.make([tree], "mark.vm-1", vm()), vm(), [1]).limits == frozenset()


def test_only_groups_of_ours_are_removed(tmp_path: Path) -> None:
    (tmp_path / "aetherium" / "one").mkdir(parents=True)
    (tmp_path / "somebody" / "else").mkdir(parents=True)
    assert cgroups.remove([str(tmp_path / "aetherium" / "one"), str(tmp_path / "somebody" / "else")]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["somebody"]
    assert (tmp_path / "somebody" / "else").is_dir()


def test_accounts_of_both_versions(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("2000\n")
    (tmp_path / "memory.events").write_text("low 0\noom_kill 3\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert accounts.account([str(tmp_path)]) == accounts.Account(1000, 2000, 1.5, 3)
    (tmp_path / "memory.max").write_text("max\n")
    assert accounts.account([str(tmp_path)]).memory_limit_bytes is None
    assert accounts.account([]) == accounts.Account()
