from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap import mounts
from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors
from aetherium.drivers.vmm.bubblewrap.disk import Disk
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import Mount


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    return path


def check(state_dir: Path, *wanted: Mount) -> list[str]:
    with Descriptors() as fds:
        return [mount.target for mount in mounts.opened(fds, wanted, state_dir)]


def test_a_directory_and_a_file(state_dir: Path, source: Path) -> None:
    file = source / "file"
    file.touch()
    found = check(state_dir, Mount(str(source), "/data"), Mount(str(file), "/workspace/a/./file", read_only=True))
    assert found == ["/data", "/workspace/a/file"]


SEALED = """
/ // /proc /proc/x /dev/sda /usr /usr/local/bin /etc /etc/passwd /lib64/x /run /.aetherium/agent /sys /home /var
"""


@pytest.mark.parametrize("target", SEALED.split())
def test_targets_that_are_the_vms_own(state_dir: Path, source: Path, target: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(state_dir, Mount(str(source), target))
    assert caught.value.remedy


@pytest.mark.parametrize("target", ["/data", "/workspace", "/home/user/project", "/tmp/x", "/opt/tool", "/var/lib/x"])
def test_targets_that_are_free(state_dir: Path, source: Path, target: str) -> None:
    assert check(state_dir, Mount(str(source), target)) == [target]


@pytest.mark.parametrize("other", ["/data", "/data/below"])
def test_targets_that_overlap(state_dir: Path, source: Path, other: str) -> None:
    with pytest.raises(InvalidArgument, match="overlap"):
        check(state_dir, Mount(str(source), "/data"), Mount(str(source), other))


@pytest.mark.parametrize("host", ["/", "/proc", "/proc/self", "/sys", "/dev", "/dev/null", "/run", "/var"])
def test_sources_that_nobody_may_give(state_dir: Path, host: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(state_dir, Mount(host, "/data"))
    assert caught.value.remedy


def test_the_state_directory_and_all_around_it(state_dir: Path) -> None:
    below = state_dir / "vms" / "x" / "disk"
    below.mkdir(parents=True)
    for source in (state_dir, below, state_dir.parent):
        with pytest.raises(InvalidArgument, match="state directory"):
            check(state_dir, Mount(str(source), "/data"))


def test_a_link_to_the_state_directory(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(state_dir)
    with pytest.raises(InvalidArgument, match="state directory"):
        check(state_dir, Mount(str(tmp_path / "link"), "/data"))


def test_the_state_directory_reached_by_a_link(tmp_path: Path, state_dir: Path) -> None:
    (tmp_path / "link").symlink_to(state_dir)
    with pytest.raises(InvalidArgument, match="state directory"):
        check(tmp_path / "link", Mount(str(state_dir), "/data"))


def test_a_missing_source(state_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        check(state_dir, Mount(str(tmp_path / "none"), "/data"))


def test_a_socket(state_dir: Path, source: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "docker.sock"))
        with pytest.raises(InvalidArgument, match="neither"):
            check(state_dir, Mount(str(source / "docker.sock"), "/data"))


def test_a_fifo_is_not_waited_for(state_dir: Path, source: Path) -> None:
    os.mkfifo(source / "fifo")
    with pytest.raises(InvalidArgument, match="neither"):
        check(state_dir, Mount(str(source / "fifo"), "/data"))


class TestPrepare:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Disk:
        disk = Disk(tmp_path / "vm")
        disk.make(None)
        return disk

    def prepare(self, disk: Disk, state_dir: Path, mount: Mount) -> None:
        with Descriptors() as fds:
            mounts.prepare(disk, None, mounts.opened(fds, [mount], state_dir))

    def test_places_are_made(self, disk: Disk, state_dir: Path, source: Path) -> None:
        (source / "file").touch()
        self.prepare(disk, state_dir, Mount(str(source), "/workspace/a/b"))
        self.prepare(disk, state_dir, Mount(str(source / "file"), "/home/user/.tool/rc"))
        assert (disk.root / "workspace/a/b").is_dir()
        assert (disk.root / "home/.tool/rc").is_file()

    @pytest.mark.parametrize("where", ["link", "link/below", "a/link"])
    def test_a_link_that_the_vm_laid_is_not_followed(
        self, disk: Disk, state_dir: Path, source: Path, tmp_path: Path, where: str
    ) -> None:
        host = tmp_path / "host"
        host.mkdir()
        (disk.root / "workspace" / "a").mkdir()
        (disk.root / "workspace" / "link").symlink_to(host)
        (disk.root / "workspace" / "a" / "link").symlink_to(host)
        with pytest.raises(InvalidArgument, match="in the way"):
            self.prepare(disk, state_dir, Mount(str(source), f"/workspace/{where}"))
        assert list(host.iterdir()) == []
