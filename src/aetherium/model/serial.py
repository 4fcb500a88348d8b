"""Values to JSON and back, with the field names of every interface.

Times are RFC 3339 in UTC, enums their values. On output a field that is None is left out; on input such a field may be
missing, and a field nobody knows is ignored, so that an older reader takes what a newer writer says. ``*_from_json``
raises InvalidArgument that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias, TypeVar

from aetherium._util.clock import format_time, parse_time
from aetherium.model.command import Exec, ExecResult, ExecState
from aetherium.model.errors import InvalidArgument
from aetherium.model.event import Event, Scalar
from aetherium.model.files import FileEntry, FileType
from aetherium.model.vm import VM, Isolation, Mount, Network, StopReason, VMHealth, VMState, VMStats

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")


def vm_to_json(vm: VM) -> dict[str, Json]:
    """Write a VM."""
    return _without_none(
        {
            "id": vm.id,
            "name": vm.name,
            "state": vm.state.value,
            "desired_state": vm.desired_state.value,
            "driver": vm.driver,
            "isolation": vm.isolation.value,
            "image": vm.image,
            "cpus": vm.cpus,
            "memory_mib": vm.memory_mib,
            "disk_mib": vm.disk_mib,
            "pids": vm.pids,
            "env": dict(vm.env),
            "labels": dict(vm.labels),
            "network": vm.network.value,
            "mounts": [mount_to_json(mount) for mount in vm.mounts],
            "timeout_s": vm.timeout_s,
            "ephemeral": vm.ephemeral,
            "limits_enforced": list(vm.limits_enforced),
            "created_at": format_time(vm.created_at),
            "started_at": _time(vm.started_at),
            "stopped_at": _time(vm.stopped_at),
            "expires_at": _time(vm.expires_at),
            "stop_reason": None if vm.stop_reason is None else stop_reason_to_json(vm.stop_reason),
        }
    )


def vm_from_json(data: JsonObject) -> VM:
    """Read a VM."""
    read = _Reader("VM", data)
    reason = read.optional_object("stop_reason")
    return VM(
        id=read.text("id"),
        name=read.optional_text("name"),
        state=read.choice("state", VMState),
        desired_state=read.choice("desired_state", VMState),
        driver=read.text("driver"),
        isolation=read.choice("isolation", Isolation),
        image=read.text("image"),
        cpus=read.number("cpus"),
        memory_mib=read.integer("memory_mib"),
        disk_mib=read.optional_integer("disk_mib"),
        pids=read.integer("pids"),
        env=read.texts_by_name("env"),
        labels=read.texts_by_name("labels"),
        network=read.choice("network", Network, Network.NONE),
        mounts=tuple(mount_from_json(item) for item in read.objects("mounts")),
        timeout_s=read.number("timeout_s", 0),
        ephemeral=read.flag("ephemeral", default=False),
        limits_enforced=read.texts("limits_enforced"),
        created_at=read.time("created_at"),
        started_at=read.optional_time("started_at"),
        stopped_at=read.optional_time("stopped_at"),
        expires_at=read.optional_time("expires_at"),
        stop_reason=None if reason is None else stop_reason_from_json(reason),
    )


def mount_to_json(mount: Mount) -> dict[str, Json]:
    """Write a mount."""
    return {"source": mount.source, "target": mount.target, "read_only": mount.read_only}


def mount_from_json(data: JsonObject) -> Mount:
    """Read a mount."""
    read = _Reader("Mount", data)
    return Mount(read.text("source"), read.text("target"), read.flag("read_only", default=False))


def stop_reason_to_json(reason: StopReason) -> dict[str, Json]:
    """Write why something ended."""
    return _without_none(
        {
            "who": reason.who,
            "rule": reason.rule,
            "limit": reason.limit,
            "evidence": reason.evidence,
            "remedy": reason.remedy,
        }
    )


def stop_reason_from_json(data: JsonObject) -> StopReason:
    """Read why something ended."""
    read = _Reader("StopReason", data)
    return StopReason(
        who=read.text("who"),
        rule=read.text("rule"),
        remedy=read.text("remedy"),
        limit=read.optional_text("limit"),
        evidence=read.optional_text("evidence"),
    )


def vm_stats_to_json(stats: VMStats) -> dict[str, Json]:
    """Write what a VM uses."""
    return _without_none(
        {
            "vm_id": stats.vm_id,
            "processes": stats.processes,
            "cpu_s": stats.cpu_s,
            "memory_bytes": stats.memory_bytes,
            "memory_limit_bytes": stats.memory_limit_bytes,
            "disk_bytes": stats.disk_bytes,
            "disk_free_bytes": stats.disk_free_bytes,
            "uptime_s": stats.uptime_s,
            "execs_running": stats.execs_running,
            "connections": stats.connections,
        }
    )


def vm_stats_from_json(data: JsonObject) -> VMStats:
    """Read what a VM uses."""
    read = _Reader("VMStats", data)
    return VMStats(
        vm_id=read.text("vm_id"),
        processes=read.integer("processes"),
        cpu_s=read.number("cpu_s"),
        memory_bytes=read.integer("memory_bytes"),
        memory_limit_bytes=read.optional_integer("memory_limit_bytes"),
        disk_bytes=read.integer("disk_bytes"),
        disk_free_bytes=read.integer("disk_free_bytes"),
        uptime_s=read.number("uptime_s"),
        execs_running=read.integer("execs_running"),
        connections=read.integer("connections"),
    )


def vm_health_to_json(health: VMHealth) -> dict[str, Json]:
    """Write whether a VM answers."""
    return _without_none(
        {
            "vm_id": health.vm_id,
            "state": health.state.value,
            "is_healthy": health.is_healthy,
            "reason": health.reason,
            "round_trip_s": health.round_trip_s,
        }
    )


def vm_health_from_json(data: JsonObject) -> VMHealth:
    """Read whether a VM answers."""
    read = _Reader("VMHealth", data)
    return VMHealth(
        vm_id=read.text("vm_id"),
        state=read.choice("state", VMState),
        is_healthy=read.flag("is_healthy"),
        reason=read.text("reason"),
        round_trip_s=read.optional_number("round_trip_s"),
    )


def exec_result_to_json(result: ExecResult) -> dict[str, Json]:
    """Write a finished command. Its output becomes text: bytes that are not UTF-8 are lost to U+FFFD."""
    return _without_none(
        {
            "exit_code": result.exit_code,
            "signal": result.signal,
            "stdout": result.stdout,
            "stderr": result.stderr,
            "timed_out": result.timed_out,
            "truncated": result.truncated,
            "started_at": format_time(result.started_at),
            "duration_s": result.duration_s,
        }
    )


def exec_result_from_json(data: JsonObject) -> ExecResult:
    """Read a finished command."""
    read = _Reader("ExecResult", data)
    return ExecResult(
        exit_code=read.integer("exit_code"),
        signal=read.optional_integer("signal"),
        stdout_bytes=read.text("stdout").encode("utf-8", "replace"),
        stderr_bytes=read.text("stderr").encode("utf-8", "replace"),
        timed_out=read.flag("timed_out"),
        truncated=read.flag("truncated"),
        started_at=read.time("started_at"),
        duration_s=read.number("duration_s"),
    )


def exec_to_json(command: Exec) -> dict[str, Json]:
    """Write a command in a VM."""
    return _without_none(
        {
            "id": command.id,
            "vm_id": command.vm_id,
            "argv": list(command.argv),
            "state": command.state.value,
            "pid": command.pid,
            "background": command.background,
            "exit_code": command.exit_code,
            "signal": command.signal,
            "timed_out": command.timed_out,
            "started_at": format_time(command.started_at),
            "duration_s": command.duration_s,
            "stdout_bytes": command.stdout_bytes,
            "stderr_bytes": command.stderr_bytes,
            "stdout_start": command.stdout_start,
            "stderr_start": command.stderr_start,
        }
    )


def exec_from_json(data: JsonObject) -> Exec:
    """Read a command in a VM."""
    read = _Reader("Exec", data)
    return Exec(
        id=read.text("id"),
        vm_id=read.text("vm_id"),
        argv=read.texts("argv", optional=False),
        state=read.choice("state", ExecState),
        pid=read.integer("pid"),
        background=read.flag("background"),
        exit_code=read.optional_integer("exit_code"),
        signal=read.optional_integer("signal"),
        timed_out=read.flag("timed_out"),
        started_at=read.time("started_at"),
        duration_s=read.number("duration_s"),
        stdout_bytes=read.integer("stdout_bytes"),
        stderr_bytes=read.integer("stderr_bytes"),
        stdout_start=read.integer("stdout_start", 0),
        stderr_start=read.integer("stderr_start", 0),
    )


def file_entry_to_json(entry: FileEntry) -> dict[str, Json]:
    """Write a file's entry."""
    return _without_none(
        {
            "name": entry.name,
            "type": entry.type.value,
            "size": entry.size,
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "modified_at": format_time(entry.modified_at),
            "target": entry.target,
        }
    )


def file_entry_from_json(data: JsonObject) -> FileEntry:
    """Read a file's entry."""
    read = _Reader("FileEntry", data)
    return FileEntry(
        name=read.text("name"),
        type=read.choice("type", FileType),
        size=read.integer("size"),
        mode=read.integer("mode"),
        uid=read.integer("uid"),
        gid=read.integer("gid"),
        modified_at=read.time("modified_at"),
        target=read.optional_text("target"),
    )


def event_to_json(event: Event) -> dict[str, Json]:
    """Write an event."""
    return {
        "id": event.id,
        "seq": event.seq,
        "type": event.type,
        "subject": event.subject,
        "at": format_time(event.at),
        "data": dict(event.data),
    }


def event_from_json(data: JsonObject) -> Event:
    """Read an event."""
    read = _Reader("Event", data)
    return Event(
        id=read.text("id"),
        seq=read.integer("seq", 0),
        type=read.text("type"),
        subject=read.text("subject"),
        at=read.time("at"),
        data=read.scalars_by_name("data"),
    )


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else format_time(instant)


def _without_none(data: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in data.items() if value is not None}


class _Reader:
    """Typed access to the fields of one JSON object; missing and null are the same."""

    def __init__(self, what: str, data: JsonObject) -> None:
        self.what = what
        self.data = data

    def text(self, name: str) -> str:
        return self._need(name, self.optional_text(name))

    def optional_text(self, name: str) -> str | None:
        value = self.data.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, "text")

    def integer(self, name: str, default: int | None = None) -> int:
        return self._need(name, self.optional_integer(name), default)

    def optional_integer(self, name: str) -> int | None:
        value = self.data.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._wrong(name, "a whole number")

    def number(self, name: str, default: float | None = None) -> float:
        return self._need(name, self.optional_number(name), default)

    def optional_number(self, name: str) -> float | None:
        value = self.data.get(name)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise self._wrong(name, "a number")

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        value = self.data.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return self._need(name, value, default)

    def time(self, name: str) -> datetime:
        return self._need(name, self.optional_time(name))

    def optional_time(self, name: str) -> datetime | None:
        text = self.optional_text(name)
        if text is None:
            return None
        try:
            instant = parse_time(text)
        except ValueError:
            raise self._wrong(name, "an RFC 3339 time") from None
        if instant.tzinfo is None:
            raise self._wrong(name, "an RFC 3339 time with its offset from UTC")
        return instant

    def choice(self, name: str, kind: type[_E], default: _E | None = None) -> _E:
        text = self.optional_text(name)
        try:
            return self._need(name, None if text is None else kind(text), default)
        except ValueError:
            raise self._wrong(name, "one of " + ", ".join(kind)) from None

    def texts(self, name: str, *, optional: bool = True) -> tuple[str, ...]:
        items = self._need(name, self._list(name), () if optional else None)
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(name, "a list of texts")
        return tuple(item for item in items if isinstance(item, str))

    def objects(self, name: str) -> tuple[JsonObject, ...]:
        items = self._list(name) or ()
        if not all(isinstance(item, Mapping) for item in items):
            raise self._wrong(name, "a list of objects")
        return tuple(item for item in items if isinstance(item, Mapping))

    def optional_object(self, name: str) -> JsonObject | None:
        value = self.data.get(name)
        if value is None or isinstance(value, Mapping):
            return value
        raise self._wrong(name, "an object")

    def texts_by_name(self, name: str) -> dict[str, str]:
        fields = self.optional_object(name) or {}
        if not all(isinstance(value, str) for value in fields.values()):
            raise self._wrong(name, "an object of texts")
        return {key: value for key, value in fields.items() if isinstance(value, str)}

    def scalars_by_name(self, name: str) -> dict[str, Scalar]:
        fields = self.optional_object(name) or {}
        if not all(value is None or isinstance(value, str | int | float) for value in fields.values()):
            raise self._wrong(name, "an object of texts, numbers, true, false and null")
        return {key: value for key, value in fields.items() if value is None or isinstance(value, str | int | float)}

    def _list(self, name: str) -> Sequence[Json] | None:
        value = self.data.get(name)
        if value is None or isinstance(value, list | tuple):
            return value
        raise self._wrong(name, "a list")

    def _need(self, name: str, value: _T | None, default: _T | None = None) -> _T:
        if value is not None:
            return value
        if default is not None:
            return default
        raise InvalidArgument(f"{self.what}.{name} is missing")

    def _wrong(self, name: str, expected: str) -> InvalidArgument:
        return InvalidArgument(f"{self.what}.{name}: {expected} expected")
