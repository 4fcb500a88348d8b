"""Numbers of the system calls that the filter knows, and what they may not do in a VM."""

from __future__ import annotations

import errno
from typing import Final

AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

LAST: Final = 466
"""The newest call that was looked at (``removexattrat``). Later ones do not exist in a VM: they could do anything."""

X32: Final = 0x40000000
"""Calls of the x32 ABI have this bit; they would pass a filter that compares plain numbers."""

DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # Mounts, roots, names of the machine: what makes the VM's own view.
    "chroot": (161, 51),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "pivot_root": (155, 41),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "umount2": (166, 39),
    # Files by handle reach past mounts.
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # Large parts of the kernel that break often and that no program needs.
    "add_key": (248, 217),
    "bpf": (321, 280),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    # The host's own affairs; without privileges they fail anyway.
    "acct": (163, 89),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # Relics.
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "query_module": (178, None),
    "sysfs": (139, None),
    "uselib": (134, None),
    "ustat": (136, None),
}
"""Calls that fail with EPERM, whatever their arguments: name -> number on (x86_64, aarch64)."""

CLONE: Final = (56, 220)
CLONE3: Final = (435, 435)
IOCTL: Final = (16, 29)
PERSONALITY: Final = (135, 92)
SOCKET: Final = (41, 198)
UNSHARE: Final = (272, 97)

NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME (0x80) is a signal number to ``clone``."""
NEWTIME: Final = 0x80

TERMINAL_TRICKS: Final = (0x5412, 0x541C, 0x5423)
"""TIOCSTI and TIOCLINUX type into somebody's terminal; TIOCSETD loads line disciplines."""

PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0x40008, 0xFFFFFFFF)
"""Linux, 32-bit machine names, old version numbers, no address randomisation (debuggers), and "just ask"."""

AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
FAMILIES: Final = (1, AF_INET, AF_INET6, AF_NETLINK)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; never AF_VSOCK, AF_PACKET, AF_ALG and the many that nobody looks after."""
SOCK_RAW: Final = 3

EPERM: Final = errno.EPERM
ENOSYS: Final = errno.ENOSYS
EAFNOSUPPORT: Final = errno.EAFNOSUPPORT
EPROTONOSUPPORT: Final = errno.EPROTONOSUPPORT
