"""A little interpreter of classic BPF, to ask the seccomp program what the kernel would ask it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aetherium.drivers.vmm.bubblewrap.seccomp import ALLOW, ERRNO, KILL, Instruction


def decode(program: bytes) -> list[Instruction]:
    return [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]


def verdict(filter_: Sequence[Instruction], arch: int, number: int, args: Sequence[int] = ()) -> int | str:
    """Return ``allow``, ``kill`` or the errno."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number - (number >> 31 << 32), arch, 0, *(arg % 2**64 for arg in padded))
    accumulator = position = 0
    for _ in range(len(filter_)):
        code, jump_true, jump_false, k = filter_[position]
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x06:
            if k == ALLOW:
                return "allow"
            if k == KILL:
                return "kill"
            assert k & 0xFFFF0000 == ERRNO
            return k & 0xFFFF
        else:
            taken = {0x15: accumulator == k, 0x25: accumulator > k, 0x45: bool(accumulator & k)}[code]
            position += jump_true if taken else jump_false
    raise AssertionError("the program does not end")
