"""Why VMs end, said the same way everywhere."""

from __future__ import annotations

from datetime import datetime

from aetherium.model.vm import VM, StopReason


def asked(*, force: bool) -> StopReason:
    """The caller stopped it."""
    return StopReason(who="caller", rule="forced" if force else "asked", remedy="start it again when you need it")


def ended(vm: VM, now: datetime, evidence: str) -> StopReason:
    """It is gone and nobody here ended it: by its time to live, or by itself."""
    if vm.expires_at is not None and now >= vm.expires_at:
        return StopReason(
            who="guest agent",
            rule="time_to_live",
            limit=f"{vm.timeout_s:g} s",
            evidence=evidence or None,
            remedy="start it again, or create it with a longer --timeout (0 for none)",
        )
    return StopReason(
        who="machine",
        rule="died",
        evidence=evidence or None,
        remedy="start it again; 'aetherium vm logs --console' shows what the machine printed",
    )


def expired(vm: VM) -> StopReason:
    """Its time to live passed while it could not end itself (paused)."""
    return StopReason(
        who="engine",
        rule="time_to_live",
        limit=f"{vm.timeout_s:g} s",
        remedy="start it again, or create it with a longer --timeout (0 for none)",
    )


def failed_start(evidence: str) -> StopReason:
    """It never came up."""
    return StopReason(
        who="engine", rule="start_failed", evidence=evidence, remedy="run 'aetherium doctor', then start it again"
    )


def interrupted(operation: str) -> StopReason:
    """The process that worked on it died in the middle."""
    return StopReason(
        who="engine",
        rule="interrupted",
        evidence=f"the process that ran {operation!r} ended before it was done",
        remedy="start it again",
    )
