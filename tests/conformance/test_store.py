"""Every state store passes the suite."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from aetherium.drivers.store import memory, sqlite
from aetherium.testing.store import StoreConformance
from aetherium.testing.store_child import Opener
from aetherium.testing.store_durable import DurableStoreConformance


class TestMemory(StoreConformance):
    @pytest.fixture
    def opener(self) -> Opener:
        return partial(memory.open_, memory.Config())


class TestSQLite(DurableStoreConformance):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return partial(sqlite.open_, sqlite.Config(), state_dir=tmp_path)
