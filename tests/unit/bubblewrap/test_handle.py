from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.drivers.vmm.bubblewrap.handle import VERSION, Machine, machine
from aetherium.drivers.vmm.bubblewrap.processes import Process
from aetherium.model.errors import Internal
from aetherium.ports.vmm import Handle

PROCESSES = st.builds(Process, st.integers(1, 2**31 - 1), st.integers(0, 2**63 - 1))
TEXT = st.text(st.characters(exclude_characters="\0"), max_size=80)
MACHINES = st.builds(
    Machine,
    boot=TEXT,
    init=PROCESSES,
    monitor=st.none() | PROCESSES,
    cgroups=st.lists(TEXT, max_size=6).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(MACHINES)
def test_what_is_written_is_read(there: Machine) -> None:
    assert machine(there.handle()) == there


@given(st.text() | JSON.map(json.dumps))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Internal):
        machine(Handle(VERSION, text))


@given(MACHINES, st.sampled_from(["boot", "init", "monitor", "cgroups"]), JSON)
def test_a_spoilt_field_is_refused_or_harmless(there: Machine, field: str, value: object) -> None:
    data = json.loads(there.handle().data)
    data[field] = value
    try:
        found = machine(Handle(VERSION, json.dumps(data)))
    except Internal:
        return
    for process in (found.init, found.monitor):
        assert process is None or process.pid > 0
    assert all(isinstance(path, str) for path in found.cgroups)


def test_another_version_is_refused() -> None:
    with pytest.raises(Internal, match="version 9"):
        machine(Handle(9, "{}"))
