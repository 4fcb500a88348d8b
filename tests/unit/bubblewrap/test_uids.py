from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.drivers.vmm.bubblewrap import uids
from aetherium.drivers.vmm.bubblewrap.config import Config
from aetherium.model.errors import ResourceExhausted


def test_the_configured_range_on_an_ordinary_host() -> None:
    found = uids.available(Config(uid_base=500_000, uid_count=10), [(0, 2**32 - 1)])
    assert found == range(500_000, 500_010)


def test_a_container_has_other_uids() -> None:
    assert uids.available(Config(), [(0, 1), (1, 65536)]) == range(32769, 65537)


def test_a_namespace_of_one_uid_has_none() -> None:
    assert uids.available(Config(), [(0, 1)]) is None
    assert uids.available(Config(), []) is None


@given(
    st.lists(st.tuples(st.integers(0, 2**32), st.integers(1, 2**32)), max_size=4),
    st.integers(1, 2**31),
    st.integers(1, 70_000),
)
def test_what_is_offered_exists_and_is_not_root(ranges: list[tuple[int, int]], base: int, count: int) -> None:
    found = uids.available(Config(uid_base=base, uid_count=count), ranges)
    if found is not None:
        assert len(found) > 0
        assert 0 not in found
        assert any(first <= found[0] and found[-1] < first + size for first, size in ranges)


@given(st.sets(st.integers(100, 140)))
def test_no_two_vms_share_a_uid(taken: set[int]) -> None:
    uids_ = range(100, 130)
    if taken.issuperset(uids_):
        with pytest.raises(ResourceExhausted):
            uids.choose(uids_, taken)
    else:
        chosen = uids.choose(uids_, taken)
        assert chosen in uids_
        assert chosen not in taken


def test_taken_are_the_owners_of_disks(tmp_path: Path) -> None:
    (tmp_path / "one" / "disk").mkdir(parents=True)
    (tmp_path / "half-made").mkdir()
    (tmp_path / "file").touch()
    assert uids.taken(tmp_path) == {(tmp_path / "one" / "disk").stat().st_uid}
