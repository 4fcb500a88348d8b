"""The bubblewrap driver under the suite of all drivers."""

from __future__ import annotations

from aetherium.testing.vmm import VMMConformance
from tests.integration.bubblewrap.bench import BubblewrapBench


class TestBubblewrap(BubblewrapBench, VMMConformance):
    """The suite."""
