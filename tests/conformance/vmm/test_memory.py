"""The memory driver under the suite of all drivers."""

from __future__ import annotations

from functools import partial

import pytest

from aetherium.drivers.bus import memory as bus
from aetherium.drivers.store import memory as store
from aetherium.drivers.store import sqlite
from aetherium.drivers.vmm import memory
from aetherium.testing.vmm import Openers, VMMConformance


class TestMemory(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return Openers(
            driver=partial(memory.open_, memory.Config()),
            store=partial(store.open_, store.Config()),
            bus=partial(bus.open_, bus.Config()),
            durable_store=partial(sqlite.open_, sqlite.Config()),
        )
