"""Files into and out of VMs, in the manner of ``docker cp``."""
