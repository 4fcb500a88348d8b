"""The VM state table: one pure function from (state, event) to state."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from aetherium.model.errors import Conflict
from aetherium.model.vm import VMState as S


class VMEvent(StrEnum):
    """What can happen to a VM."""

    START = "start"
    STARTED = "started"
    START_FAILED = "start_failed"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    STOPPED = "stopped"
    DIED = "died"
    DELETE = "delete"


_E = VMEvent

TABLE: Final[dict[tuple[S, VMEvent], S]] = {
    (S.CREATED, _E.START): S.STARTING,
    (S.STOPPED, _E.START): S.STARTING,
    (S.FAILED, _E.START): S.STARTING,
    (S.STARTING, _E.STARTED): S.RUNNING,
    (S.STARTING, _E.START_FAILED): S.FAILED,
    (S.RUNNING, _E.PAUSE): S.PAUSED,
    (S.PAUSED, _E.RESUME): S.RUNNING,
    (S.RUNNING, _E.STOP): S.STOPPING,
    (S.PAUSED, _E.STOP): S.STOPPING,
    (S.STOPPING, _E.STOPPED): S.STOPPED,
    # It ended by itself, or we find after a crash that it is gone.
    (S.STARTING, _E.DIED): S.FAILED,
    (S.RUNNING, _E.DIED): S.STOPPED,
    (S.PAUSED, _E.DIED): S.STOPPED,
    (S.STOPPING, _E.DIED): S.STOPPED,
    # Delete ends anything; repeating it is harmless.
    **{(state, _E.DELETE): S.DELETED for state in S},
}

SETTLED: Final = frozenset({S.CREATED, S.RUNNING, S.PAUSED, S.STOPPED, S.FAILED})
ALIVE: Final = frozenset({S.RUNNING, S.PAUSED})


def can(state: S, event: VMEvent) -> bool:
    """Say whether ``event`` may happen in ``state``."""
    return (state, event) in TABLE


def advance(state: S, event: VMEvent, *, vm_id: str) -> S:
    """Return the state after ``event``. Raises Conflict, with what would be allowed, when it may not happen."""
    try:
        return TABLE[state, event]
    except KeyError:
        allowed = sorted(e.value for (s, e) in TABLE if s is state and e in _REQUESTS)
        raise Conflict(
            f"VM {vm_id} is {state.value}: it cannot {event.value}",
            remedy=f"possible now: {', '.join(allowed)}" if allowed else "",
        ) from None


_REQUESTS: Final = frozenset({_E.START, _E.PAUSE, _E.RESUME, _E.STOP, _E.DELETE})
