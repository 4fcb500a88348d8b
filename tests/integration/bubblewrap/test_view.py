"""The sandbox, looked at from inside."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import VM, Mount, VMConfig
from tests.integration.bubblewrap.bench import BubblewrapBench, sh

PROBE = r"""
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    return errno.errorcode.get(ctypes.get_errno(), "OK") if libc.syscall(number, *args) < 0 else "OK"
"""

SHOWN = ".aetherium bin dev etc home lib lib32 lib64 libx32 mnt opt proc run sbin srv tmp usr var workspace"

X86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")


async def python(engine: Engine, vm: VM, script: str) -> str:
    result = await engine.vms.exec(vm.id, Command("python3", ["-c", PROBE + script]))
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


class TestView(BubblewrapBench):
    async def test_who_it_is(self, engine: Engine, vm: VM) -> None:
        assert (await sh(engine, vm, "id -u; id -g; id -un; hostname; pwd; echo $HOME")).split() == [
            *("1000", "1000", "user", vm.id, "/workspace", "/home/user")
        ]

    async def test_it_has_no_privilege_and_gets_none(self, engine: Engine, vm: VM) -> None:
        status = dict(line.split(":\t") for line in (await sh(engine, vm, "cat /proc/self/status")).splitlines())
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"

    async def test_the_agent_too(self, engine: Engine, vm: VM) -> None:
        status = await sh(engine, vm, "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/1/status")
        assert status.split() == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]

    async def test_what_it_sees_of_the_host(self, engine: Engine, vm: VM, state_dir: Path) -> None:
        seen = set((await sh(engine, vm, "ls -A /")).split())
        assert seen <= set(SHOWN.split())
        secret = "/root /sys /boot /etc/shadow /etc/gshadow /etc/ssh /etc/sudoers /etc/ssl/private /run/systemd"
        script = f"for path in {secret} {state_dir}; do test ! -e $path || echo $path; done; ls -A /run /tmp /home"
        assert (await sh(engine, vm, script)).split() == ["/home:", "user", "/run:", "/tmp:"]

    async def test_names_of_the_host_stay_outside(self, engine: Engine, vm: VM) -> None:
        text = await sh(engine, vm, "cat /etc/passwd /etc/hosts /etc/hostname /etc/resolv.conf; uname -n")
        assert socket.gethostname() not in text.split()
        assert (await sh(engine, vm, "cat /etc/machine-id")).strip() != Path("/etc/machine-id").read_text().strip()

    async def test_programs_of_the_host_work(self, engine: Engine, vm: VM) -> None:
        await sh(engine, vm, "ls -l / >/dev/null; awk 'BEGIN {exit 0}'; python3 -c 'import ssl, sqlite3'")
        assert await sh(
            engine, vm, "python3 -c 'import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 0)'"
        )

    async def test_only_its_own_directories_are_writable(self, engine: Engine, vm: VM) -> None:
        places = "/ /usr /usr/local /etc /etc/ssl /dev /opt /mnt /srv /var /proc/sys/kernel /.aetherium"
        script = f"for path in {places}; do touch $path/x 2>/dev/null && echo $path; done; true"
        assert await sh(engine, vm, script) == ""
        await sh(engine, vm, "for path in /workspace /home/user /tmp /var/tmp /run /dev/shm; do touch $path/x; done")

    async def test_settings_of_the_kernel_are_read_only(self, engine: Engine, vm: VM) -> None:
        files = "kernel/hostname kernel/core_pattern vm/drop_caches net/ipv4/ip_forward fs/file-max"
        script = f"for file in {files}; do (echo 1 >/proc/sys/$file) 2>/dev/null && echo $file; done; true"
        assert await sh(engine, vm, script) == ""
        assert await sh(engine, vm, "(echo b >/proc/sysrq-trigger) 2>/dev/null && echo wrote; true") == ""

    async def test_no_network(self, engine: Engine, vm: VM) -> None:
        assert (await python(engine, vm, "print(*(name for _, name in socket.if_nameindex()))")) == "lo"
        script = "s = socket.socket(); s.settimeout(5); print(errno.errorcode[s.connect_ex(('192.0.2.1', 9))])"
        assert await python(engine, vm, script) == "ENETUNREACH"
        script = (
            "a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname()); print('ok')"
        )
        assert await python(engine, vm, script) == "ok"

    async def test_abstract_sockets_of_the_host_are_out_of_reach(self, engine: Engine, vm: VM) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0aetherium-{vm.id}")
            listener.listen()
            script = f"s = socket.socket(socket.AF_UNIX); print(errno.errorcode[s.connect_ex('\\0aetherium-{vm.id}')])"
            assert await python(engine, vm, script) == "ECONNREFUSED"

    async def test_processes_of_the_host_are_out_of_sight(self, engine: Engine, vm: VM) -> None:
        pids = [int(name) for name in (await sh(engine, vm, "ls /proc")).split() if name.isdigit()]
        assert 1 in pids
        assert len(pids) < 8
        assert (await sh(engine, vm, "tr '\\0' '\\n' </proc/1/cmdline")).splitlines()[1] == "serve"

    async def test_no_descriptor_is_inherited(self, engine: Engine, vm: VM) -> None:
        assert (await sh(engine, vm, "ls /proc/self/fd")).split() == ["0", "1", "2", "3"]  # 3 is ls's own

    async def test_the_agent_has_only_its_own_descriptors(self, engine: Engine, vm: VM, raw_driver: object) -> None:
        monitor, init = (int(pid) for pid in processes_of(vm))
        assert monitor != init
        if os.geteuid() != 0:
            pytest.skip("the agent lets only root look at it")
        targets = {os.readlink(f"/proc/{init}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{init}/fd")}
        assert targets <= {"/null", "/dev/null", "socket", "anon_inode", "pipe"} | {
            target for target in targets if target.endswith("console.log")
        }
        outside = {os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in os.listdir(f"/proc/{monitor}/fd")}
        assert not any(target.startswith("socket:") for target in outside)

    async def test_secrets_are_in_no_command_line(self, engine: Engine) -> None:
        vm = await engine.vms.create(VMConfig(env={"TOKEN": "s3cr3t-t0ken"}))
        for pid in processes_of(vm):
            for file in ("cmdline", "environ"):
                with suppress(PermissionError):  # nobody else can read it either
                    assert b"s3cr3t" not in Path(f"/proc/{pid}/{file}").read_bytes()
        assert await sh(engine, vm, "echo $TOKEN") == "s3cr3t-t0ken\n"

    @X86_64
    async def test_calls_that_are_refused(self, engine: Engine, vm: VM) -> None:
        script = """
calls = {"mount": (165, 0, b"/tmp", b"tmpfs", 0, 0), "umount2": (166, b"/proc", 0), "unshare": (272, 0x10000000),
         "setns": (308, 0, 0), "pivot_root": (155, b"/", b"/"), "chroot": (161, b"/"), "bpf": (321, 0, 0, 0),
         "keyctl": (250, 0, -3), "perf_event_open": (298, 0, 0, 0, 0, 0), "userfaultfd": (323, 0),
         "io_uring_setup": (425, 1, 0), "open_tree": (428, 0, 0, 0), "fsopen": (430, b"tmpfs", 0),
         "open_by_handle_at": (304, 0, 0, 0), "init_module": (175, 0, 0, 0), "reboot": (169, 0, 0, 0, 0),
         "clone": (56, 0x10000011, 0, 0, 0, 0), "clone3": (435, 0, 0), "personality": (135, 0x400000),
         "x32": (0x40000000 + 39,), "future": (500,)}
print(*(f"{name}={call(*map(lambda a: ctypes.c_long(a) if isinstance(a, int) else a, args))}"
        for name, args in calls.items()))
"""
        answers = dict(item.split("=") for item in (await python(engine, vm, script)).split())
        missing = {"clone3", "x32", "future"}
        assert answers == {name: "ENOSYS" if name in missing else "EPERM" for name in answers}

    async def test_sockets_that_are_refused(self, engine: Engine, vm: VM) -> None:
        script = """
def make(*args):
    try:
        socket.socket(*args).close()
        return "OK"
    except OSError as error:
        return errno.errorcode[error.errno]
print(make(40, 1), make(17, 3, 0x300), make(38, 5), make(2, 3, 1), make(16, 3, 9))
print(make(16, 3, 0), make(1, 1), make(10, 2))
"""
        refused = "EAFNOSUPPORT EAFNOSUPPORT EAFNOSUPPORT EPERM EPROTONOSUPPORT"
        assert await python(engine, vm, script) == f"{refused}\nOK OK OK"

    async def test_nobody_types_into_a_terminal(self, engine: Engine, vm: VM) -> None:
        script = """
import fcntl, pty, termios
a, b = pty.openpty()
try:
    fcntl.ioctl(b, termios.TIOCSTI, b"x")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
        assert await python(engine, vm, script) == "EPERM"

    async def test_a_user_namespace_cannot_be_made(self, engine: Engine, vm: VM) -> None:
        result = await engine.vms.exec(vm.id, Command("unshare", ["--user", "true"]))
        assert result.exit_code != 0

    async def test_programs_with_privileges_do_not_get_them(self, engine: Engine, vm: VM) -> None:
        result = await engine.vms.exec(vm.id, Command.script("su -c id root </dev/null; mount -t tmpfs x /mnt"))
        assert result.exit_code != 0
        assert "uid=0" not in result.stdout

    async def test_two_vms_are_apart(self, engine: Engine, vm: VM) -> None:
        other = await engine.vms.create(VMConfig())
        await sh(engine, vm, "echo mine > /workspace/x; echo mine > /tmp/x; (sleep 50 &)")
        assert await sh(engine, other, "cat /workspace/x /tmp/x 2>/dev/null; ls /proc | grep -c '^[0-9]*$'") < "8"
        if os.geteuid() == 0:
            assert len({real_uid(processes_of(each)[1]) for each in (vm, other)}) == 2


class TestMounts(BubblewrapBench):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "source"
        path.mkdir()
        (path / "file").write_text("from the host\n")
        path.chmod(0o777)
        return path

    async def test_read_write_and_read_only(self, engine: Engine, source: Path) -> None:
        mounts = (Mount(str(source), "/workspace/in/here"), Mount(str(source), "/data", read_only=True))
        vm = await engine.vms.create(VMConfig(mounts=mounts))
        assert await sh(engine, vm, "cat /data/file in/here/file; touch /data/x 2>&1 || echo no > in/here/made")
        assert (source / "made").read_text() == "no\n"
        assert not (source / "x").exists()

    async def test_one_file(self, engine: Engine, source: Path) -> None:
        mount = Mount(str(source / "file"), "/home/user/.config/file", read_only=True)
        vm = await engine.vms.create(VMConfig(mounts=(mount,)))
        assert await sh(engine, vm, "cat ~/.config/file") == "from the host\n"

    async def test_a_link_laid_in_the_vm_leads_nowhere(self, engine: Engine, source: Path, tmp_path: Path) -> None:
        host = tmp_path / "host"
        host.mkdir(mode=0o777)
        vm = await engine.vms.create(VMConfig(mounts=(Mount(str(source), "/workspace/in"),)))
        # The place is busy while it is mounted; what is above it the VM may change.
        await sh(engine, vm, f"ln -s {host} /workspace/away")
        await engine.vms.stop(vm.id)
        await engine.vms.delete(vm.id)
        assert list(host.iterdir()) == []

    async def test_refused_before_anything_is_made(self, engine: Engine, state_dir: Path) -> None:
        for source in ("/", "/proc", str(state_dir), "/no/such/thing"):
            with pytest.raises(InvalidArgument):
                await engine.vms.create(VMConfig(mounts=(Mount(source, "/data"),)))
        assert not (state_dir / "vms").exists() or list((state_dir / "vms").iterdir()) == []


def processes_of(vm: VM) -> tuple[str, str]:
    """Return the host's pids of the VM's monitor and of its first process."""
    found: dict[bool, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(b"aetherium-vm:") and word.endswith(f":{vm.id}".encode()) for word in words):
            found[words[0].startswith(b"aetherium-vm:")] = pid
    return found[False], found[True]


def real_uid(pid: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:"))
