"""Fuzz the tar reader and the unpacker: ``python tests/fuzz/fuzz_tar.py -max_total_time=20``."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")  # not installed everywhere, and without types

with atheris.instrument_imports(include=["aetherium"]):
    from aetherium.core.guest.unpack import Unpacker, UnpackLimits
    from aetherium.model.errors import AetheriumError
    from aetherium.protocol.tar import BLOCK, Member, MemberKind, TarError, TarReader

NAMES = [b"a", b"a/b", b"..", b"../canary", b"/canary", b".", b"link", b"link/canary", b"a/../..", b"\xff", b"a/b/c/d"]
RECORDS = [b"12 path=a/b\n", b"19 linkpath=canary\n", b"9 size=9\n", b"14 mtime=-1.5\n", b"a/b\0"]
TYPES = b"0125013467\0xgLKSZ"
PLACE = Path(tempfile.mkdtemp(prefix="fuzz-tar-"))
CANARY = PLACE / "canary"


def block(source: Any) -> bytes:
    """Return a header whose checksum is right, so that the fuzzer gets behind it."""
    header = bytearray(BLOCK)

    def put(at: int, value: bytes) -> None:
        header[at : at + len(value)] = value

    put(0, source.PickValueInList(NAMES))
    put(100, b"%07o" % source.ConsumeIntInRange(0, 0o7777777))
    size = source.ConsumeIntInRange(0, 1500)
    put(124, b"%011o" % size if source.ConsumeBool() else source.ConsumeBytes(12))
    put(136, source.ConsumeBytes(12) if source.ConsumeBool() else b"0")
    put(156, bytes([TYPES[source.ConsumeIntInRange(0, len(TYPES) - 1)]]))
    put(157, source.PickValueInList(NAMES))
    put(257, b"ustar\0" if source.ConsumeBool() else b"ustar ")
    put(148, b"        ")
    put(148, b"%06o\0 " % sum(header))
    body: bytes = source.PickValueInList(RECORDS)
    body = (body + source.ConsumeBytes(size))[:size]
    return bytes(header) + body + bytes(-size % BLOCK)


def read(pieces: list[bytes]) -> list[Member | bytes]:
    """Return members and the data between them, or what was read before a refusal."""
    reader, found = TarReader(), list[Member | bytes]()
    try:
        for piece in pieces:
            for item in reader.feed(piece):
                if isinstance(item, Member):
                    found.append(item)
                elif found and isinstance(found[-1], bytes):
                    found[-1] += bytes(item)
                else:
                    found.append(bytes(item))
    except TarError:
        pass
    return found


def one_input(data: bytes) -> None:
    """Read an archive whole and in pieces: both agree. Unpack it: nothing beside the destination changes."""
    source = atheris.FuzzedDataProvider(data)
    archive = b"".join(block(source) for _ in range(source.ConsumeIntInRange(0, 6)))
    archive += source.ConsumeBytes(source.ConsumeIntInRange(0, 600)) if source.ConsumeBool() else bytes(1024)
    size = source.ConsumeIntInRange(1, 700)
    whole = read([archive])
    assert whole == read([archive[start : start + size] for start in range(0, len(archive), size)])
    for item, following in pairwise(whole):
        if isinstance(item, Member) and isinstance(following, bytes):
            assert item.kind is MemberKind.FILE
            assert len(following) <= item.size
    unpack(archive)


def unpack(archive: bytes) -> None:
    """Unpack beside a canary, which must stay as it is."""
    destination = PLACE / "in"
    destination.mkdir()
    (destination / "link").symlink_to("..")
    CANARY.write_bytes(b"alive")
    unpacker = Unpacker(destination, UnpackLimits(entries=100, bytes=1 << 20, depth=8))
    try:
        unpacker.open()
        unpacker.feed([archive])
        unpacker.finish()
    except AetheriumError:
        pass
    finally:
        unpacker.close()
    assert CANARY.read_bytes() == b"alive"
    assert CANARY.stat().st_nlink == 1
    assert sorted(os.listdir(PLACE)) == ["canary", "in"]
    shutil.rmtree(destination)


if __name__ == "__main__":
    atheris.Setup([*sys.argv, "-max_len=2000", "-len_control=0"], one_input)
    atheris.Fuzz()
