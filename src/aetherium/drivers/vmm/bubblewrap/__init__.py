"""VMs by ``bubblewrap``: the driver that needs no root, no daemon and no hypervisor."""

from aetherium.drivers.vmm.bubblewrap.config import Config
from aetherium.drivers.vmm.bubblewrap.driver import open_

__all__ = ["Config", "open_"]
