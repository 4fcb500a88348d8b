"""As root: a VM's processes are nobody's from the first on, and the engine stays who it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aetherium.drivers.vmm.bubblewrap import credentials
from aetherium.model.vm import VM
from tests.integration.bubblewrap.bench import BubblewrapBench

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has nothing to give up")
NOBODYS = ("CapPrm", "CapEff", "CapAmb", "CapInh")


def status(where: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (where / "status").read_text().splitlines() if ":\t" in line)


class TestCredentials(BubblewrapBench):
    async def test_bwrap_is_started_without_any_right(self, vm: VM, state_dir: Path) -> None:
        owner = (state_dir / "vms" / vm.id / "disk" / "workspace").stat().st_uid
        assert owner not in (0, 1000)
        init = json.JSONDecoder().raw_decode((state_dir / "vms" / vm.id / "info.json").read_text())[0]["child-pid"]
        agent = Path("/proc", str(init))
        monitor = Path("/proc", status(agent)["PPid"])
        for process in (agent, monitor):
            seen = status(process)
            assert seen["Uid"].split() == [str(owner)] * 4
            assert seen["Gid"].split() == [str(owner)] * 4
            assert seen["Groups"].split() in ([], [str(owner)])
            assert seen["NoNewPrivs"] == "1"
            assert {int(seen[name], 16) for name in NOBODYS} == {0}

    async def test_the_engine_stays_root(self, vm: VM) -> None:
        assert credentials.is_dumpable() == 1
        for thread in Path("/proc/self/task").iterdir():
            seen = status(thread)
            assert seen["Uid"].split() == ["0"] * 4
            assert seen["NoNewPrivs"] == "0"
            assert int(seen["CapEff"], 16) != 0
