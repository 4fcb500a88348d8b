"""The VM state table, as a whole and in every order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aetherium.model.errors import Conflict
from aetherium.model.states import ALIVE, SETTLED, TABLE, VMEvent, advance, can
from aetherium.model.vm import VMState

_ENDS = {VMEvent.STOPPED, VMEvent.DIED, VMEvent.START_FAILED}


class Life(RuleBasedStateMachine):
    """Events in any order, as a careless caller would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.state = VMState.CREATED
        self.events: list[VMEvent] = []

    @rule(event=st.sampled_from(VMEvent))
    def happens(self, event: VMEvent) -> None:
        before = self.state
        if can(before, event):
            self.state = advance(before, event, vm_id="vm-1")
            self.events.append(event)
        else:
            with pytest.raises(Conflict) as caught:
                advance(before, event, vm_id="vm-1")
            assert before.value in caught.value.message
            assert event.value in caught.value.message

    @invariant()
    def runs_only_after_it_started(self) -> None:
        if self.state in ALIVE:
            assert VMEvent.STARTED in self.events
            last = max(n for n, event in enumerate(self.events) if event is VMEvent.STARTED)
            assert not _ENDS & set(self.events[last:])

    @invariant()
    def deleted_is_final(self) -> None:
        assert (self.state is VMState.DELETED) == (VMEvent.DELETE in self.events)

    @invariant()
    def one_start_at_a_time(self) -> None:
        running = 0
        for event in self.events:
            running += event is VMEvent.START
            running -= event in _ENDS
            assert running in (0, 1) or event is VMEvent.DELETE


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_delete_is_possible_everywhere_and_repeatable() -> None:
    for state in VMState:
        assert advance(state, VMEvent.DELETE, vm_id="x") is VMState.DELETED


def test_every_state_but_the_first_is_reached() -> None:
    assert {VMState.CREATED, *TABLE.values()} == set(VMState)


def test_every_state_but_the_last_can_be_left() -> None:
    for state in set(VMState) - {VMState.DELETED}:
        assert any(before is state and after is not VMState.DELETED for (before, _), after in TABLE.items())


def test_a_passing_state_settles_without_being_asked() -> None:
    asked = {VMEvent.START, VMEvent.STOP, VMEvent.PAUSE, VMEvent.RESUME, VMEvent.DELETE}
    for state in (VMState.STARTING, VMState.STOPPING):
        outcomes = {after for (before, event), after in TABLE.items() if before is state and event not in asked}
        assert outcomes
        assert outcomes <= SETTLED


def test_whatever_has_a_machine_may_die() -> None:
    for state in (VMState.STARTING, VMState.RUNNING, VMState.PAUSED, VMState.STOPPING):
        assert can(state, VMEvent.DIED)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(Conflict) as caught:
        advance(VMState.PAUSED, VMEvent.START, vm_id="vm-1")
    assert caught.value.remedy == "possible now: delete, resume, stop"
