"""Records to rows and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from aetherium._util.clock import format_time
from aetherium.model.errors import InvalidArgument, Unavailable
from aetherium.model.serial import vm_from_json, vm_to_json
from aetherium.ports.store import Pending, VMRecord
from aetherium.ports.vmm import Handle

WRITE: Final = "id, name, key, owner, driver, state, created_at, revision, vm, labels, handle, pending"
"""The columns that ``to_row`` gives, in order."""
READ: Final = "vm, handle, pending, key, owner, revision"
"""The columns that ``from_row`` takes, in order."""

Row = tuple[str | int | None, ...]


def to_row(record: VMRecord, revision: int) -> Row:
    """Return the values of ``WRITE``."""
    vm, handle, pending = record.vm, record.handle, record.pending
    return (
        vm.id,
        vm.name,
        record.key,
        record.owner,
        vm.driver,
        vm.state.value,
        format_time(vm.created_at),
        revision,
        _dump(vm_to_json(vm)),
        _dump(sorted(label(name, value) for name, value in vm.labels.items())),
        None if handle is None else _dump({"version": handle.version, "data": handle.data}),
        None if pending is None else _dump([pending.operation, pending.step, pending.owner]),
    )


def from_row(row: sqlite3.Row) -> VMRecord:
    """Read the values of ``READ``."""
    vm, handle, pending, key, owner, revision = row
    try:
        data = json.loads(vm)
        if not isinstance(data, dict):
            raise TypeError("it is no object")
        return VMRecord(
            vm=vm_from_json(data),
            handle=None if handle is None else Handle(**json.loads(handle)),
            pending=None if pending is None else Pending(*json.loads(pending)),
            key=key,
            owner=owner,
            revision=revision,
        )
    except (ValueError, TypeError, InvalidArgument) as exc:
        raise Unavailable(
            f"the state database holds a VM that cannot be read: {exc}",
            remedy="a newer Aetherium or another program may have written it; use that version, or restore a backup",
        ) from exc


def label(name: str, value: str) -> str:
    """Return the ASCII text that stands for one label in the index: SQLite cannot hold every Python string."""
    return _dump([name, value])


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def placeholders(count: int) -> str:
    """Return ``count`` times ``?``."""
    return ", ".join("?" * count)
