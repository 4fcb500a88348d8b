"""``aetherium completion``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from aetherium.cli.options import (
    DEFAULTS,
    Options,
)
from aetherium.cli.output import show_lines


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(metavar="SHELL", help="bash, zsh or fish.")],
    /,
    *,
    options: Options = DEFAULTS,
) -> int:
    """Print a script that lets a shell complete verbs and options.

    For bash: `source <(aetherium completion bash)`.
    """
    from aetherium.cli.root import build

    show_lines([build().generate_completion(shell=shell, prog_name="aetherium")])
    return 0
