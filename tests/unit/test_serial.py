"""JSON and back: nothing is lost, what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aetherium.model import serial
from aetherium.model.command import ExecResult
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import VM
from aetherium.testing import values

TYPES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], dict[str, Any]], Callable[[Any], Any]]] = {
    "VM": (values.vms, serial.vm_to_json, serial.vm_from_json),
    "Mount": (values.mounts, serial.mount_to_json, serial.mount_from_json),
    "StopReason": (values.stop_reasons, serial.stop_reason_to_json, serial.stop_reason_from_json),
    "VMStats": (values.vm_stats, serial.vm_stats_to_json, serial.vm_stats_from_json),
    "VMHealth": (values.vm_healths, serial.vm_health_to_json, serial.vm_health_from_json),
    "ExecResult": (values.exec_results, serial.exec_result_to_json, serial.exec_result_from_json),
    "Exec": (values.execs, serial.exec_to_json, serial.exec_from_json),
    "FileEntry": (values.file_entries, serial.file_entry_to_json, serial.file_entry_from_json),
    "Event": (values.events, serial.event_to_json, serial.event_from_json),
}


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_round_trip(kind: str, data: st.DataObject) -> None:
    value_of, to_json, from_json = TYPES[kind]
    value = data.draw(value_of)
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_field_is_forgotten_and_none_is_left_out(kind: str, data: st.DataObject) -> None:
    value_of, to_json, _ = TYPES[kind]
    value = data.draw(value_of)
    there = {f.name for f in dataclasses.fields(value) if getattr(value, f.name) is not None}
    if isinstance(value, ExecResult):
        there = there - {"stdout_bytes", "stderr_bytes"} | {"stdout", "stderr"}
    assert set(to_json(value)) == there


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_unknown_fields_are_ignored(kind: str, data: st.DataObject) -> None:
    value_of, to_json, from_json = TYPES[kind]
    value = data.draw(value_of)
    assert from_json({**to_json(value), "from_the_future": {"x": [1]}}) == value


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_field_of_a_wrong_type_is_named(kind: str, data: st.DataObject) -> None:
    value_of, to_json, from_json = TYPES[kind]
    good = to_json(data.draw(value_of))
    name = data.draw(st.sampled_from(sorted(good)))
    for wrong in (object(), [object()], {"x": object()}):
        with pytest.raises(InvalidArgument, match=f"{name}|^StopReason\\."):
            from_json({**good, name: wrong})


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_field_that_is_missing_is_named_or_has_its_default(kind: str, data: st.DataObject) -> None:
    value_of, to_json, from_json = TYPES[kind]
    value = data.draw(value_of)
    good = to_json(value)
    name = data.draw(st.sampled_from(sorted(good)))
    less = {key: value for key, value in good.items() if key != name}
    field = next((f for f in dataclasses.fields(value) if f.name == name), None)
    optional = field is not None and (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
    if optional or (field is not None and "None" in str(field.type)):
        assert name not in to_json(from_json(less)) or to_json(from_json(less))[name] in ({}, [], 0, False, "none")
    else:
        with pytest.raises(InvalidArgument, match=f"^{kind}.{name} is missing$"):
            from_json(less)


def test_the_names_and_shapes_users_rely_on() -> None:
    vm = serial.vm_to_json(values.vm("agent-1", team="a"))
    assert vm == {
        "id": "agent-1",
        "state": "running",
        "desired_state": "running",
        "driver": "memory",
        "isolation": "none",
        "image": "host",
        "cpus": 1,
        "memory_mib": 512,
        "pids": 1024,
        "env": {},
        "labels": {"team": "a"},
        "network": "none",
        "mounts": [],
        "timeout_s": 0,
        "ephemeral": False,
        "limits_enforced": [],
        "created_at": "2026-01-01T00:00:00.000000Z",
    }


def test_a_vm_needs_only_what_has_no_default() -> None:
    vm = values.vm("agent-1")
    required = {f.name for f in dataclasses.fields(VM) if f.default is f.default_factory is dataclasses.MISSING}
    assert serial.vm_from_json({k: v for k, v in serial.vm_to_json(vm).items() if k in required}) == vm


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T00:00:00", "", 5])
def test_a_time_without_zone_or_sense_is_refused(time: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"VM\.created_at"):
        serial.vm_from_json({**serial.vm_to_json(values.vm("a")), "created_at": time})


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    data = {**serial.vm_to_json(values.vm("a")), "created_at": "2026-01-01T02:00:00+02:00"}
    assert serial.vm_from_json(data).created_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "wrong"), [("cpus", True), ("memory_mib", 1.5), ("memory_mib", True), ("ephemeral", 1)]
)
def test_numbers_and_flags_are_not_mixed_up(name: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=name):
        serial.vm_from_json({**serial.vm_to_json(values.vm("a")), name: wrong})


def test_output_that_is_not_utf8_becomes_text() -> None:
    result = ExecResult(0, b"\xff\x00ok", b"", None, False, False, datetime(2026, 1, 1, tzinfo=UTC), 0.5)
    data = serial.exec_result_to_json(result)
    assert data["stdout"] == "\ufffd\0ok"
    assert serial.exec_result_from_json(data).stdout == result.stdout
