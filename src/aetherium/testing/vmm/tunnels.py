"""TCP connections into a VM."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aetherium.core.engine import Engine
from aetherium.model.command import Command, Output
from aetherium.model.errors import Unavailable
from aetherium.model.vm import VM
from aetherium.testing.vmm.bench import Bench, within

_ECHO = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        with client:
            while data := client.recv(65536):
                client.sendall(data)
"""
_ECHO_PERL = r"""
use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1", LocalPort => 0) or die;
print $server->sockport, "\n";
while (my $client = $server->accept) {
  while (sysread($client, my $data, 65536)) {
    while (length $data) { my $n = syswrite($client, $data) or last; substr($data, 0, $n) = ""; }
  }
  close $client;
}
"""


class TunnelChecks(Bench):
    """Connect, carry, end."""

    async def test_bytes_go_there_and_back(self, engine: Engine, vm: VM) -> None:
        async with echo_server(engine, vm) as port, engine.vms.connect(vm.id, port) as tunnel:
            await tunnel.write(b"hello")
            got = b""
            while len(got) < 5:
                got += await within(10, tunnel.read())
            assert got == b"hello"
            tunnel.close_write()
            assert await within(10, tunnel.read()) == b""

    async def test_a_megabyte(self, engine: Engine, vm: VM) -> None:
        blob = bytes(range(256)) * 4096
        async with echo_server(engine, vm) as port, engine.vms.connect(vm.id, port) as tunnel:
            got = bytearray()
            for start in range(0, len(blob), 65536):
                await within(10, tunnel.write(blob[start : start + 65536]))
                while len(got) < start + 65536:
                    data = await within(10, tunnel.read())
                    assert data
                    got += data
            assert bytes(got) == blob

    async def test_ports_lists_the_listener(self, engine: Engine, vm: VM) -> None:
        async with echo_server(engine, vm) as port:
            assert port in await engine.vms.ports(vm.id)

    async def test_nothing_listens(self, engine: Engine, vm: VM) -> None:
        with pytest.raises(Unavailable):
            async with engine.vms.connect(vm.id, 1):
                raise AssertionError("connected to nothing")


@asynccontextmanager
async def echo_server(engine: Engine, vm: VM) -> AsyncIterator[int]:
    """Run a server in the VM with whatever language there is; skip when there is none."""
    for command in (Command("python3", ["-c", _ECHO]), Command("perl", ["-e", _ECHO_PERL])):
        if (await engine.vms.exec(vm.id, Command.script(f"command -v {command.program}"))).exit_code == 0:
            break
    else:
        pytest.skip("the VM has neither python3 nor perl")
    async with engine.vms.process(vm.id, command) as process:
        line = await within(10, process.read())
        assert isinstance(line, Output)
        yield int(line.data)
