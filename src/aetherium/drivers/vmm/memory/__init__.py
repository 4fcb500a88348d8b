"""A driver for tests: the guest agent as an ordinary process, with no isolation at all.

Configuration must lower the floor to ``none`` to use it; ``auto`` never picks it.
"""

from __future__ import annotations

from aetherium.drivers.vmm.memory.config import Config, Fault, FaultKind
from aetherium.drivers.vmm.memory.driver import open_

__all__ = ["Config", "Fault", "FaultKind", "open_"]
