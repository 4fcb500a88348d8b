"""The system-call filter of a VM: a classic BPF program, assembled here.

It is a list of what is denied, up to the newest call that was looked at, and ``ENOSYS`` beyond that; what remains is
about what container engines allow. The guest agent runs under it too. Only the low half of an argument is looked at
where the kernel reads an ``int``: a high half would be a way around the comparison.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from typing import Final

from aetherium.drivers.vmm.bubblewrap import syscalls as calls

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_ABOVE: Final = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS
ERRNO: Final = 0x00050000

_NUMBER_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]
"""``struct sock_filter``: code, jump if true, jump if false, k. Jumps count the instructions to skip."""


@cache
def program(arch: str) -> bytes:
    """Return the filter for ``arch`` as ``bwrap`` wants it. Raises ValueError for one that is not known."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in assemble(arch))


def assemble(arch: str) -> list[Instruction]:
    """Return the filter's instructions."""
    if arch not in calls.AUDIT_ARCH:
        raise ValueError(f"no system-call filter for {arch}")
    column = list(calls.AUDIT_ARCH).index(arch)
    filter_: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, calls.AUDIT_ARCH[arch]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        *_if(_ABOVE, calls.LAST, [_fail(calls.ENOSYS)]),  # x32 calls too
        *_if(
            _EQUAL, calls.CLONE3[column], [_fail(calls.ENOSYS)]
        ),  # its flags are in memory; libraries fall back to clone
    ]
    for numbers in calls.DENIED.values():
        number = numbers[column]
        if number is not None:
            filter_ += _if(_EQUAL, number, [_fail(calls.EPERM)])
    filter_ += _if(_EQUAL, calls.CLONE[column], _no_bits(calls.NAMESPACES))
    filter_ += _if(_EQUAL, calls.UNSHARE[column], _no_bits(calls.NAMESPACES | calls.NEWTIME))
    filter_ += _if(_EQUAL, calls.IOCTL[column], _none_of(1, calls.TERMINAL_TRICKS))
    filter_ += _if(_EQUAL, calls.PERSONALITY[column], _one_of(0, calls.PERSONALITIES, calls.EPERM))
    filter_ += _if(_EQUAL, calls.SOCKET[column], _socket())
    return [*filter_, (_RETURN, 0, 0, ALLOW)]


def _fail(errno: int) -> Instruction:
    return (_RETURN, 0, 0, ERRNO | errno)


def _if(test: int, value: int, then: list[Instruction]) -> list[Instruction]:
    """Return ``then`` behind a test of the accumulator; it must end in a return."""
    return [(test, 0, len(then), value), *then]


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGS_AT + 8 * index)


def _no_bits(bits: int) -> list[Instruction]:
    return [_argument(0), *_if(_ANY_BIT, bits, [_fail(calls.EPERM)]), (_RETURN, 0, 0, ALLOW)]


def _none_of(index: int, values: Iterable[int]) -> list[Instruction]:
    refusals = [step for value in values for step in _if(_EQUAL, value, [_fail(calls.EPERM)])]
    return [_argument(index), *refusals, (_RETURN, 0, 0, ALLOW)]


def _one_of(index: int, values: Iterable[int], errno: int) -> list[Instruction]:
    permits = [step for value in values for step in _if(_EQUAL, value, [(_RETURN, 0, 0, ALLOW)])]
    return [_argument(index), *permits, _fail(errno)]


def _socket() -> list[Instruction]:
    """Known families only; of netlink only the routing one; no raw packets."""
    netlink = _one_of(2, (0,), calls.EPROTONOSUPPORT)
    internet = [
        _argument(1),
        (_AND, 0, 0, 0xF),
        *_if(_EQUAL, calls.SOCK_RAW, [_fail(calls.EPERM)]),
        (_RETURN, 0, 0, ALLOW),
    ]
    return [
        _argument(0),
        *_if(_EQUAL, calls.AF_NETLINK, netlink),
        *_if(_EQUAL, calls.AF_INET, internet),
        *_if(_EQUAL, calls.AF_INET6, internet),
        *_one_of(0, calls.FAMILIES, calls.EAFNOSUPPORT),
    ]
