"""The suite of all drivers, for ordinary users; root runs it in ``tests/conformance``."""

from __future__ import annotations

import os

import pytest

from aetherium.testing.vmm import VMMConformance
from tests.integration.bubblewrap.bench import BubblewrapBench


@pytest.mark.skipif(os.geteuid() == 0, reason="root runs it in tests/conformance")
class TestBubblewrap(BubblewrapBench, VMMConformance):
    """The suite."""
