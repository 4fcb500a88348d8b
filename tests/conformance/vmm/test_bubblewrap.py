"""The bubblewrap driver under the suite of all drivers."""

from __future__ import annotations

from functools import partial

import pytest

from aetherium.drivers.bus import memory as bus
from aetherium.drivers.store import memory as store
from aetherium.drivers.store import sqlite
from aetherium.drivers.vmm import bubblewrap
from aetherium.testing.vmm import Openers, VMMConformance


class TestBubblewrap(VMMConformance):
    @pytest.fixture
    def openers(self) -> Openers:
        return Openers(
            driver=partial(bubblewrap.open_, bubblewrap.Config()),
            store=partial(store.open_, store.Config()),
            bus=partial(bus.open_, bus.Config()),
            durable_store=partial(sqlite.open_, sqlite.Config()),
        )
