"""What every VMM driver does. Its test file subclasses ``VMMConformance`` and gives it the fixture ``openers``::

    class TestMine(VMMConformance):
        @pytest.fixture
        def openers(self) -> Openers:
            return Openers(
                driver=partial(mine.open_, mine.Config()),
                store=partial(memory.open_, memory.Config()),
                bus=partial(bus.open_, bus.Config()),
                durable_store=partial(sqlite.open_, sqlite.Config()),
            )

Needs pytest-asyncio in auto mode. The driver's capabilities decide which checks run. ``AETHERIUM_REQUIRE`` with the
driver's name in it turns "skipped, because it does not work on this host" into a failure.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "background",
    "bench",
    "cancelling",
    "crashing",
    "endings",
    "execs",
    "filing",
    "lifecycle",
    "listing",
    "observing",
    "pausing",
    "reaping",
    "reopening",
    "streams",
    "terminals",
    "tunnels",
)
# Before they are imported, so that a failing assert shows its values.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from aetherium.testing.assembly import Openers  # noqa: E402
from aetherium.testing.vmm.background import BackgroundChecks  # noqa: E402
from aetherium.testing.vmm.cancelling import CancellingChecks  # noqa: E402
from aetherium.testing.vmm.crashing import CrashingChecks  # noqa: E402
from aetherium.testing.vmm.endings import EndingChecks  # noqa: E402
from aetherium.testing.vmm.execs import ExecChecks  # noqa: E402
from aetherium.testing.vmm.filing import FileChecks, TreeChecks  # noqa: E402
from aetherium.testing.vmm.lifecycle import LifecycleChecks  # noqa: E402
from aetherium.testing.vmm.listing import ListingChecks  # noqa: E402
from aetherium.testing.vmm.observing import ObservingChecks  # noqa: E402
from aetherium.testing.vmm.pausing import PausingChecks  # noqa: E402
from aetherium.testing.vmm.reaping import ReapingChecks  # noqa: E402
from aetherium.testing.vmm.reopening import ReopeningChecks  # noqa: E402
from aetherium.testing.vmm.streams import StreamChecks  # noqa: E402
from aetherium.testing.vmm.terminals import TerminalChecks  # noqa: E402
from aetherium.testing.vmm.tunnels import TunnelChecks  # noqa: E402

__all__ = ["Openers", "VMMConformance"]


class VMMConformance(
    LifecycleChecks,
    EndingChecks,
    PausingChecks,
    ListingChecks,
    ObservingChecks,
    ExecChecks,
    StreamChecks,
    BackgroundChecks,
    TerminalChecks,
    TunnelChecks,
    FileChecks,
    TreeChecks,
    CancellingChecks,
    ReapingChecks,
    ReopeningChecks,
    CrashingChecks,
):
    """The suite."""
