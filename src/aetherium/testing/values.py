"""Hypothesis strategies for the model's values, with everything in them that a user can get in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from aetherium._util.ids import is_valid_id
from aetherium.model.command import Exec, ExecResult, ExecState
from aetherium.model.event import Event
from aetherium.model.files import FileEntry, FileType
from aetherium.model.vm import VM, Isolation, Mount, Network, StopReason, VMHealth, VMState, VMStats
from aetherium.ports.store import Pending, VMRecord
from aetherium.ports.vmm import Handle

any_text = st.text(st.characters(), max_size=20)
"""All of Unicode, and the lone surrogates by which Python passes on bytes that are not UTF-8; also NUL."""
texts = st.text(max_size=20)
"""All of Unicode."""
ids = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True).filter(is_valid_id)
counts = st.integers(0, 2**53)
seconds = st.floats(0, 1e9, allow_nan=False)
times = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))
paths = st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8), max_size=4).map(
    lambda parts: "/" + "/".join(part for part in parts if part != "..")
)
mounts = st.builds(Mount, paths, paths, st.booleans())
stop_reasons = st.builds(
    StopReason,
    who=any_text,
    rule=any_text,
    remedy=any_text,
    limit=st.none() | any_text,
    evidence=st.none() | any_text,
)
vms = st.builds(
    VM,
    id=ids,
    name=st.none() | ids,
    state=st.sampled_from(VMState),
    desired_state=st.sampled_from(VMState),
    driver=texts,
    isolation=st.sampled_from(Isolation),
    image=any_text,
    cpus=st.floats(0.01, 1024),
    memory_mib=counts,
    disk_mib=st.none() | counts,
    pids=counts,
    env=st.dictionaries(any_text, any_text, max_size=4),
    labels=st.dictionaries(any_text, any_text, max_size=4),
    network=st.sampled_from(Network),
    mounts=st.lists(mounts, max_size=3).map(tuple),
    timeout_s=seconds,
    ephemeral=st.booleans(),
    limits_enforced=st.lists(st.sampled_from(["cpus", "memory_mib", "pids"]), unique=True).map(tuple),
    created_at=times,
    started_at=st.none() | times,
    stopped_at=st.none() | times,
    expires_at=st.none() | times,
    stop_reason=st.none() | stop_reasons,
)
records = st.builds(
    VMRecord,
    vm=vms,
    handle=st.none() | st.builds(Handle, st.integers(0, 2**31), any_text),
    pending=st.none() | st.builds(Pending, any_text, any_text, any_text),
    key=st.none() | texts,
    owner=st.none() | texts,
)
vm_stats = st.builds(
    VMStats,
    vm_id=ids,
    processes=counts,
    cpu_s=seconds,
    memory_bytes=counts,
    memory_limit_bytes=st.none() | counts,
    disk_bytes=counts,
    disk_free_bytes=counts,
    uptime_s=seconds,
    execs_running=counts,
    connections=counts,
)
vm_healths = st.builds(
    VMHealth,
    vm_id=ids,
    state=st.sampled_from(VMState),
    is_healthy=st.booleans(),
    reason=any_text,
    round_trip_s=st.none() | seconds,
)
exec_results = st.builds(
    ExecResult,
    exit_code=st.integers(0, 255),
    stdout_bytes=texts.map(str.encode),
    stderr_bytes=texts.map(str.encode),
    signal=st.none() | st.integers(1, 64),
    timed_out=st.booleans(),
    truncated=st.booleans(),
    started_at=times,
    duration_s=seconds,
)
execs = st.builds(
    Exec,
    id=ids,
    vm_id=ids,
    argv=st.lists(any_text, max_size=4).map(tuple),
    state=st.sampled_from(ExecState),
    pid=counts,
    background=st.booleans(),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    timed_out=st.booleans(),
    started_at=times,
    duration_s=seconds,
    stdout_bytes=counts,
    stderr_bytes=counts,
    stdout_start=counts,
    stderr_start=counts,
)
file_entries = st.builds(
    FileEntry,
    name=any_text,
    type=st.sampled_from(FileType),
    size=counts,
    mode=st.integers(0, 0o7777),
    uid=counts,
    gid=counts,
    modified_at=times,
    target=st.none() | any_text,
)
events = st.builds(
    Event,
    id=ids,
    type=any_text,
    subject=any_text,
    at=times,
    data=st.dictionaries(
        any_text,
        any_text | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none(),
    ),
    seq=counts,
)


def vm(
    vm_id: str,
    *,
    name: str | None = None,
    state: VMState = VMState.RUNNING,
    driver: str = "memory",
    after_s: float = 0,
    **labels: str,
) -> VM:
    """Return a plain VM, created ``after_s`` seconds after the first."""
    return VM(
        id=vm_id,
        name=name,
        state=state,
        desired_state=state,
        driver=driver,
        isolation=Isolation.NONE,
        image="host",
        cpus=1,
        memory_mib=512,
        pids=1024,
        labels=labels,
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after_s),
    )
