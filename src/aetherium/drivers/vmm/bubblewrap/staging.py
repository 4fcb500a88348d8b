"""Where bwrap finds what it shall bind.

``bwrap`` resolves every source to a path and walks it as whoever it runs as, even one given as a descriptor. The uid
that root changes to cannot walk into root's home or state directory. So root's sources are first bound, in a mount
namespace that only this ``bwrap`` is started in, to a place that anybody can reach.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from aetherium.drivers.vmm.bubblewrap import cgroups, credentials
from aetherium.drivers.vmm.bubblewrap.cgroups import Group
from aetherium.drivers.vmm.bubblewrap.descriptors import Descriptors

_T = TypeVar("_T")

_PLACE: Final = "/tmp"  # noqa: S108 (covered by a tmpfs of our own, in a namespace of our own)
_CLONE_NEWNS: Final = 0x20000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Staging:
    """Sources of mounts, as bwrap can name them. With ``uid``, for a bwrap that runs as that user: in a mount namespace
    of their own. Without, for one that runs as we do."""

    def __init__(self, fds: Descriptors, *, uid: int | None) -> None:
        self._fds = fds
        self._uid = uid
        self._staged: list[int] = []
        self.entered: frozenset[str] = frozenset()
        """The control groups that ``call`` started its process in."""

    def bind(self, path: str | os.PathLike[str], target: str, *, read_only: bool = False) -> list[str]:
        """Return bwrap's words to bind ``path``, which must not be a symbolic link, to ``target``."""
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self.bind_fd(self._fds.keep(fd), target, read_only=read_only)

    def bind_fd(self, fd: int, target: str, *, read_only: bool = False) -> list[str]:
        """Return bwrap's words to bind what ``fd`` holds."""
        option = "--ro-bind" if read_only else "--bind"
        if self._uid is None:
            return [f"{option}-fd", str(self._fds.lend(fd)), target]
        self._staged.append(fd)
        return [option, f"{_PLACE}/{len(self._staged) - 1}", target]

    def call(self, spawn: Callable[[], _T], group: Group) -> _T:
        """Call ``spawn`` where the words that were returned hold, as the user asked for, in ``group`` if that can be.

        Raises what it raises, and OSError.
        """
        uid = self._uid
        if uid is None:
            return spawn()
        results: list[_T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self.entered = cgroups.enter(group)
                self._stage()
                credentials.become(uid)
                results.append(spawn())
            except BaseException as error:
                errors.append(error)

        # Namespace, control groups and credentials are a thread's own: these end with it, and go on in the child.
        dumpable = credentials.is_dumpable()
        thread = threading.Thread(target=work, name="aetherium-bwrap-start")
        thread.start()
        thread.join()
        credentials.set_dumpable(dumpable)
        if errors:
            raise errors[0]
        return results[0]

    def _stage(self) -> None:
        _check(_libc.unshare(_CLONE_NEWNS), "making a mount namespace")
        _mount(None, "/", None, _MS_REC | _MS_SLAVE)
        # What was opened outside is of another namespace and cannot be bound in this one: open it again by its path,
        # before that may be covered, and see that it is still the same.
        sources = [(number, self._reopened(fd)) for number, fd in enumerate(self._staged)]
        _mount("aetherium", _PLACE, "tmpfs", 0)
        os.chmod(_PLACE, 0o755)  # noqa: S103 (bwrap, as another uid, must reach what is in it)
        for number, fd in sources:
            place = f"{_PLACE}/{number}"
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                os.mkdir(place)
            else:
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            _mount(f"/proc/self/fd/{fd}", place, None, _MS_BIND | _MS_REC)

    def _reopened(self, fd: int) -> int:
        path = os.readlink(f"/proc/self/fd/{fd}")
        again = self._fds.keep(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))
        if not os.path.samestat(os.fstat(fd), os.fstat(again)):
            raise OSError(errno.ESTALE, f"{path} was replaced while the VM started")
        return again


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), None), f"mounting {target}")


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} ({doing})")
