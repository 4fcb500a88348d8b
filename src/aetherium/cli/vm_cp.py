"""``aetherium vm cp``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from aetherium.cli import parsing, session
from aetherium.cli.argv import UsageError
from aetherium.cli.channel import STDIN, STDOUT, is_terminal
from aetherium.cli.options import (
    DEFAULTS,
    Options,
    one,
)
from aetherium.cli.output import show_json
from aetherium.cli.parsing import Place
from aetherium.cli.session import Session
from aetherium.model.files import TreeCount

_SIDES = "one side is VM:PATH, the other a path here or '-'"


def cp(
    source: Annotated[
        Place,
        Parameter(
            metavar="SRC",
            converter=one(parsing.place),
            n_tokens=1,
            accepts_keys=False,
            allow_leading_hyphen=True,
            help="VM:PATH, a path here, or - for a tar archive on standard input.",
        ),
    ],
    target: Annotated[
        Place,
        Parameter(
            metavar="DST",
            converter=one(parsing.place),
            n_tokens=1,
            accepts_keys=False,
            allow_leading_hyphen=True,
            help="VM:PATH, a path here, or - for a tar archive on standard output.",
        ),
    ],
    /,
    *,
    options: Options = DEFAULTS,
) -> int:
    """Copy a file or directory into a VM or out of it.

    As with `docker cp`, a directory goes into a directory that exists, else becomes it; `DIR/.` means its contents.
    """
    if (source.vm is None) == (target.vm is None):
        raise UsageError("cp copies between this host and one VM", _SIDES)
    if options.json and target.path == "-":
        raise UsageError("an archive and --json cannot both be on standard output", "leave out --json")
    if target.vm is None and target.path == "-" and is_terminal(STDOUT):
        raise UsageError("an archive does not belong on a terminal", "send it on: aetherium vm cp VM:PATH - | tar t")

    async def body(here: Session) -> int:
        count = await (_into(here, source, target) if target.vm is not None else _out_of(here, source, target))
        if options.json:
            show_json({"entries": count.entries, "bytes": count.bytes})
        return 0

    return session.run(options, body)


async def _into(here: Session, source: Place, target: Place) -> TreeCount:
    assert target.vm is not None
    if source.path == "-":
        from aetherium.cli.streams import chunks

        return await here.engine.files.upload_archive(target.vm, chunks(STDIN), target.path)
    from aetherium.cli.copying import upload

    return await upload(here.engine, target.vm, source.path, target.path)


async def _out_of(here: Session, source: Place, target: Place) -> TreeCount:
    assert source.vm is not None
    if target.path == "-":
        from aetherium.cli.streams import Writer

        writer, count = Writer(STDOUT), 0
        async for chunk in here.engine.files.download_archive(source.vm, source.path):
            await writer.write(chunk)
            count += len(chunk)
        return TreeCount(0, count)
    from aetherium.cli.copying import download

    return await download(here.engine, source.vm, source.path, target.path)
