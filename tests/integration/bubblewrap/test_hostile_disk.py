"""What a hostile program leaves on its disk does not keep the VM from being measured and deleted."""

from __future__ import annotations

from pathlib import Path

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.vm import VM
from tests.integration.bubblewrap.bench import BubblewrapBench

MESS = r"""
import os, socket
os.chdir("/workspace")
os.symlink("/etc", "etc"); os.symlink("../../../../..", "up"); os.symlink("self", "self")
os.makedirs("locked/below"); open("locked/below/file", "w").close()
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
for name in (b"\xff\xfe", b"a\nb", b"-rf", b"*", b"x" * 255):
    open(name, "w").close()
for _ in range(300):
    os.mkdir("d" * 100); os.chdir("d" * 100)
os.chmod("/workspace/locked/below", 0); os.chmod("/workspace/locked", 0)
os.chmod("/tmp", 0); os.chmod("/var/tmp", 0o111); os.chmod("/home/user", 0); os.chmod("/workspace", 0)
"""


class TestHostileDisk(BubblewrapBench):
    async def test_it_is_measured_and_deleted(self, engine: Engine, vm: VM, tmp_path: Path) -> None:
        result = await engine.vms.exec(vm.id, Command("python3", ["-c", MESS]))
        assert result.exit_code == 0, result.stderr
        assert (await engine.vms.stats(vm.id)).disk_bytes > 0
        before = Path("/etc").stat()
        await engine.vms.delete(vm.id)
        assert Path("/etc").stat() == before

    async def test_it_starts_again(self, engine: Engine, vm: VM) -> None:
        script = "import os; [os.chmod(path, 0) for path in ('/tmp', '/workspace', '/home/user')]"
        assert (await engine.vms.exec(vm.id, Command("python3", ["-c", script]))).exit_code == 0
        await engine.vms.stop(vm.id)
        await engine.vms.start(vm.id)
        assert (await engine.vms.exec(vm.id, Command("true"))).exit_code == 0
