"""Giving up root in one thread, for the process that the thread is about to start.

The kernel keeps credentials per thread; only the C library makes a process of them. Bare system calls change the
calling thread alone, and what it starts inherits that: no program in between has to do it, which would take longer than
all the rest of the start that is ours.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

_SETGROUPS, _SETRESGID, _SETRESUID = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}.get(
    platform.machine(), (-1, -1, -1)
)

_libc: Final = ctypes.CDLL(None, use_errno=True)


def become(uid: int) -> None:
    """Make the calling thread an unprivileged user, for good: no capability, none to regain. Raises OSError.

    Call it in a thread that starts one process and ends.
    """
    # The bounding set may stay: without new privileges no program brings capabilities, and those in the user namespace
    # that bwrap makes are not bound by it.
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "giving up new privileges")
    _call(_SETGROUPS, 0, None)
    _call(_SETRESGID, uid, uid, uid)
    _call(_SETRESUID, uid, uid, uid)  # with it go all capabilities


def is_dumpable() -> int:
    """Return the process's dumpable attribute, which ``become`` clears for all threads."""
    return int(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))


def set_dumpable(value: int) -> None:
    """Set it again."""
    _libc.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0)


def _call(number: int, *arguments: int | None) -> None:
    words = [None if word is None else ctypes.c_long(word) for word in arguments]
    _check(_libc.syscall(ctypes.c_long(number), *words), "changing the user")


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({doing})")
