"""Putting the words of a command line in order."""

from __future__ import annotations

from dataclasses import fields

import pytest

from aetherium.cli.argv import (
    GLOBAL_FLAGS,
    GLOBAL_VALUES,
    OPERANDS_BEFORE_COMMAND,
    UsageError,
    hoist,
    split_command,
    wants_json,
)
from aetherium.cli.options import Options
from aetherium.cli.root import VERBS

VALUED = {"-e", "--env", "--cpus"}
FLAGS = {"-i", "-t", "--keep"}


@pytest.mark.parametrize(
    ("words", "verb", "rest"),
    [
        ("run -- ls", "run", "-- ls"),
        ("--json run -- ls", "run", "--json -- ls"),
        ("--json --state-dir d vm list -q", "vm list", "--json --state-dir d -q"),
        ("vm --json list", "vm list", "--json"),
        ("vm --state-dir=d list", "vm list", "--state-dir=d"),
        ("-v vm", "vm", "-v"),
        ("vm --help", "vm", "--help"),
        ("--json --help", "", "--json --help"),
        ("run --driver x vm list", "run", "--driver x vm list"),
        ("", "", ""),
    ],
)
def test_global_options_move_behind_the_verb(words: str, verb: str, rest: str) -> None:
    assert hoist(words.split()) == (verb.split(), rest.split())


def test_an_unknown_option_before_the_verb_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean '--state-dir'"):
        hoist(["--state-dri", "x", "run"])


def test_the_table_of_global_options_is_that_of_the_parser() -> None:
    named = {f"--{field.name.replace('_', '-')}" for field in fields(Options)}
    assert named == {name for name in GLOBAL_VALUES | GLOBAL_FLAGS if name.startswith("--")}


def test_verbs_that_run_a_command_exist() -> None:
    names = {tuple(names.partition("|")[0].split()) for names, *_ in VERBS}
    assert names.issuperset(OPERANDS_BEFORE_COMMAND)


@pytest.mark.parametrize(
    ("words", "operands", "options", "found", "command"),
    [
        ("ls -la", 0, "", "", "ls -la"),
        ("-i ls -i", 0, "-i", "", "ls -i"),
        ("-- ls -- -i", 0, "", "", "ls -- -i"),
        ("-it -e A=1 ls -e B", 0, "-it -e A=1", "", "ls -e B"),
        ("-ieA=1 ls", 0, "-ieA=1", "", "ls"),
        ("-ie A=1 ls", 0, "-ie A=1", "", "ls"),
        ("--env=A=1 ls", 0, "--env=A=1", "", "ls"),
        ("--cpus 2 ls --keep", 0, "--cpus 2", "", "ls --keep"),
        ("vm ls -la", 1, "", "vm", "ls -la"),
        ("vm -- ls -la", 1, "", "vm", "ls -la"),
        ("-i vm -t -- ls", 1, "-i -t", "vm", "ls"),
        ("-- vm ls", 1, "", "vm", "ls"),
        ("vm -i", 1, "-i", "vm", ""),
        ("- x", 0, "", "", "- x"),
        ("-e", 0, "-e", "", ""),
        ("", 1, "", "", ""),
    ],
)
def test_a_command_begins_at_the_first_word_or_after_two_hyphens(
    words: str, operands: int, options: str, found: str, command: str
) -> None:
    split = split_command(words.split(), operands, valued=VALUED, flags=FLAGS)
    assert split == (options.split(), found.split(), command.split())


def test_empty_words_belong_to_the_command() -> None:
    assert split_command(["sh", "", "--"], 0, valued=VALUED, flags=FLAGS) == ([], [], ["sh", "", "--"])


@pytest.mark.parametrize(("word", "near"), [("--kepe", "--keep"), ("--evn=1", "--env")])
def test_an_unknown_option_is_refused_with_the_nearest_one(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'"):
        split_command([word, "ls"], 0, valued=VALUED, flags=FLAGS)


@pytest.mark.parametrize("word", ["-x", "-ix", "--nothing-like-it"])
def test_an_option_like_no_other_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="unknown option"):
        split_command([word, "ls"], 0, valued=VALUED, flags=FLAGS)


def test_json_is_only_ours_before_two_hyphens() -> None:
    assert wants_json(["run", "--json", "--", "ls"])
    assert not wants_json(["run", "--", "ls", "--json"])
