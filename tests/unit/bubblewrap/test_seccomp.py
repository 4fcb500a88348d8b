from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetherium.drivers.vmm.bubblewrap import seccomp, syscalls
from tests.unit.bubblewrap.bpf import decode, verdict

ARCHES = sorted(syscalls.AUDIT_ARCH)
FILTERS = {arch: seccomp.assemble(arch) for arch in ARCHES}
WORDS = st.integers(0, 2**64 - 1)
JUDGED = ("CLONE", "CLONE3", "IOCTL", "PERSONALITY", "SOCKET", "UNSHARE")


def ask(arch: str, number: int, *args: int) -> int | str:
    return verdict(FILTERS[arch], syscalls.AUDIT_ARCH[arch], number, args)


def number(arch: str, name: str) -> int:
    column = list(syscalls.AUDIT_ARCH).index(arch)
    numbers: tuple[int | None, int | None] = getattr(syscalls, name, None) or syscalls.DENIED[name]
    found = numbers[column]
    assert found is not None
    return found


arches = pytest.mark.parametrize("arch", ARCHES)


@arches
def test_the_bytes_are_the_instructions(arch: str) -> None:
    program = seccomp.program(arch)
    assert decode(program) == FILTERS[arch]
    assert len(FILTERS[arch]) < 4096


@arches
@given(sysno=st.integers(0, syscalls.LAST), args=st.lists(WORDS, min_size=6, max_size=6))
def test_every_call_is_judged_by_the_lists(arch: str, sysno: int, args: list[int]) -> None:
    column = list(syscalls.AUDIT_ARCH).index(arch)
    denied = {numbers[column] for numbers in syscalls.DENIED.values()}
    judged = {number(arch, name) for name in JUDGED}
    answer = ask(arch, sysno, *args)
    if sysno in denied:
        assert answer == errno.EPERM
    elif sysno not in judged:
        assert answer == "allow"
    assert answer != "kill"


@arches
@given(sysno=st.integers(syscalls.LAST + 1, 2**32 - 1), args=st.lists(WORDS, max_size=6))
def test_calls_nobody_looked_at_do_not_exist(arch: str, sysno: int, args: list[int]) -> None:
    assert ask(arch, sysno, *args) == errno.ENOSYS


@given(sysno=st.integers(0, syscalls.LAST))
def test_the_other_abi_of_x86_does_not_exist(sysno: int) -> None:
    assert ask("x86_64", sysno | syscalls.X32) == errno.ENOSYS


@arches
@given(other=st.integers(0, 2**32 - 1), sysno=st.integers(0, 2**32 - 1))
def test_another_architecture_is_killed(arch: str, other: int, sysno: int) -> None:
    if other != syscalls.AUDIT_ARCH[arch]:
        assert verdict(FILTERS[arch], other, sysno) == "kill"


@arches
@given(flags=WORDS)
def test_clone_and_unshare_make_no_namespace(arch: str, flags: int) -> None:
    new = flags & syscalls.NAMESPACES
    assert ask(arch, number(arch, "CLONE"), flags) == (errno.EPERM if new else "allow")
    new |= flags & syscalls.NEWTIME
    assert ask(arch, number(arch, "UNSHARE"), flags) == (errno.EPERM if new else "allow")
    assert ask(arch, number(arch, "CLONE3"), flags) == errno.ENOSYS


@arches
def test_a_thread_and_a_vfork_are_allowed(arch: str) -> None:
    for flags in (0x3D0F00, 0x4111, 0x1200011, 17):
        assert ask(arch, number(arch, "CLONE"), flags) == "allow"


@arches
@given(high=st.integers(0, 2**32 - 1), request=st.sampled_from(syscalls.TERMINAL_TRICKS))
def test_terminal_tricks_are_refused_whatever_the_high_bits(arch: str, high: int, request: int) -> None:
    assert ask(arch, number(arch, "IOCTL"), 0, high << 32 | request) == errno.EPERM


@arches
def test_terminals_work(arch: str) -> None:
    for request in (0x5401, 0x5413, 0x5414, 0x40045431, 0x80045430, 0x540E):
        assert ask(arch, number(arch, "IOCTL"), 0, request) == "allow"


@arches
@given(family=st.integers(0, 2**32 - 1), kind=st.integers(0, 2**32 - 1), protocol=st.integers(0, 300))
def test_sockets(arch: str, family: int, kind: int, protocol: int) -> None:
    answer = ask(arch, number(arch, "SOCKET"), family, kind, protocol)
    if family not in syscalls.FAMILIES:
        assert answer == errno.EAFNOSUPPORT
    elif family == syscalls.AF_NETLINK:
        assert answer == ("allow" if protocol == 0 else errno.EPROTONOSUPPORT)
    elif family in (syscalls.AF_INET, syscalls.AF_INET6):
        assert answer == (errno.EPERM if kind & 0xF == syscalls.SOCK_RAW else "allow")
    else:
        assert answer == "allow"


@arches
@given(value=WORDS)
def test_personality(arch: str, value: int) -> None:
    harmless = value & 0xFFFFFFFF in syscalls.PERSONALITIES
    assert ask(arch, number(arch, "PERSONALITY"), value) == ("allow" if harmless else errno.EPERM)


@pytest.mark.parametrize(
    "name", ["mount", "bpf", "io_uring_setup", "keyctl", "open_by_handle_at", "setns", "userfaultfd"]
)
@arches
def test_what_must_never_be_possible(arch: str, name: str) -> None:
    assert ask(arch, number(arch, name)) == errno.EPERM


def test_an_unknown_machine_is_an_error() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.assemble("riscv64")
