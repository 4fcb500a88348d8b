"""Tells the event bus what happened to VMs."""

from __future__ import annotations

import logging

from aetherium._util.clock import Clock
from aetherium._util.ids import new_id
from aetherium.model.event import Event, Scalar
from aetherium.model.vm import VM
from aetherium.ports.bus import EventBus

_log = logging.getLogger(__name__)


class Announcer:
    """Publishes ``vm.*`` events. A bus that fails is logged and harms no operation."""

    def __init__(self, bus: EventBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def vm(self, what: str, vm: VM, **data: Scalar) -> None:
        """Publish ``vm.<what>`` about a VM."""
        if vm.stop_reason is not None and what in ("stopped", "failed"):
            data = {"rule": vm.stop_reason.rule, "who": vm.stop_reason.who, **data}
        event = Event(
            id=new_id("event"),
            type=f"vm.{what}",
            subject=vm.id,
            at=self._clock.now(),
            data={"driver": vm.driver, "state": vm.state.value, **data},
        )
        try:
            await self._bus.publish(event)
        except Exception:
            _log.exception("event not published", extra={"vm": vm.id, "type": event.type})
