"""The door of the command line. What needs no engine is answered before anything large is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Run ``aetherium`` with this process's arguments and return its exit code."""
    words = sys.argv[1:]
    if words in ([], ["--help"], ["-h"], ["help"]):
        from aetherium.cli.about import top_help
        from aetherium.cli.channel import say

        return say(top_help())
    if words in (["--version"], ["version"], ["version", "--json"], ["--json", "version"]):
        from aetherium.cli.about import describe
        from aetherium.cli.channel import say

        return say(describe(short=words == ["--version"], as_json="--json" in words))
    from aetherium.cli.root import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
