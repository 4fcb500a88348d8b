"""All verbs put together. Each is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cyclopts import App, CycloptsError, Parameter

from aetherium.cli import errors
from aetherium.cli.about import top_help
from aetherium.cli.argv import GROUPS, OPERANDS_BEFORE_COMMAND, UsageError, hoist, split_command, suggestion, wants_json
from aetherium.cli.channel import say

DESCRIPTION: Final = "Run AI agents and other untrusted programs, each in an isolated machine of its own."

VERBS: Final = (
    ("run", "-- COMMAND [ARGUMENT...]", "run:run", "Run a command in a VM of its own."),
    ("vm create", "[ID]", "vm_create:create", "Create a VM, start it, and print its id."),
    ("vm start", "VM...", "vm_life:start", "Start VMs."),
    ("vm stop", "VM...", "vm_life:stop", "Stop VMs; their files stay."),
    ("vm pause", "VM...", "vm_life:pause", "Stop the processors of VMs; their memory stays."),
    ("vm resume", "VM...", "vm_life:resume", "Let paused VMs go on."),
    ("vm delete|rm", "VM...", "vm_life:delete", "End VMs and forget them with their files."),
    ("vm list|ls", "", "vm_list:list_", "List VMs."),
    ("vm status", "VM", "vm_list:status", "Show a VM, whether it answers, and why it ended."),
    ("vm exec", "VM -- COMMAND [ARGUMENT...]", "vm_exec:exec_", "Run a command in a VM."),
    ("vm shell", "VM", "vm_exec:shell", "Open a shell in a VM."),
    ("vm ps", "VM", "vm_execs:ps", "List the commands in a VM."),
    ("vm kill", "VM EXEC", "vm_execs:kill", "Send a signal to a command in a VM."),
    ("vm logs", "VM [EXEC]", "vm_logs:logs", "Print what a command in a VM printed."),
    ("vm attach", "VM EXEC", "vm_logs:attach", "Connect to a command that runs in a VM."),
    ("vm cp", "SRC DST", "vm_cp:cp", "Copy files into a VM or out of it."),
    ("vm stats", "[VM...]", "vm_stats:stats", "Show what VMs use."),
    ("vm reap", "", "vm_reap:reap", "Remove what VMs left that nobody tracks."),
    ("doctor", "", "doctor:doctor", "Find out what works on this host, and what to do about the rest."),
    ("demo", "", "demo:demo", "See the whole of it work: a real project's tests in a VM without network."),
    ("config check", "", "config:check", "Report every problem in the configuration."),
    ("config show", "", "config:show", "Print the configuration that is in force."),
    ("completion", "SHELL", "completion:completion", "Print a script for completion in bash, zsh or fish."),
    ("version", "", "version:version", "Show the versions of what is installed."),
)
"""Each verb and its other names, what it works on, where it is, and what it does in one line."""

GROUP_HELP: Final = {
    "vm": "Create, use and end VMs.",
    "config": "Look at the configuration.",
}


_PLAIN: Final = Parameter(negative=(), json_list=False, json_dict=False, show_default=False)
"""No ``--no-x`` beside each ``--x``, and no word is ever taken for JSON."""


def build(verb: Sequence[str] = ()) -> App:
    """Return the parser. No verb is imported yet; ``verb`` will be, so that its own words describe it."""
    app = App(
        name="aetherium",
        help=DESCRIPTION,
        version_flags=[],
        default_parameter=_PLAIN,
        result_action="return_value",
    )
    groups: dict[str, App] = {}
    for names, operands, where, summary in VERBS:
        *path, name = names.partition("|")[0].split()
        aliases = names.split("|")[1:]
        parent = app
        if path:
            if path[0] not in groups:
                groups[path[0]] = App(name=path[0], help=GROUP_HELP[path[0]], version_flags=[])
                app.command(groups[path[0]])
            parent = groups[path[0]]
        asked = list(verb) in [[*path, known] for known in (name, *aliases)]
        parent.command(
            f"aetherium.cli.{where}",
            name=name,
            alias=aliases,
            help=None if asked else summary,
            usage=" ".join(f"aetherium {' '.join((*path, name))} [OPTIONS] {operands}".split()),
            default_parameter=_PLAIN,
        )
    return app


def main(words: Sequence[str]) -> int:
    """Run the verb that ``words`` name and return the exit code."""
    verbose = "-v" in words or "--verbose" in words
    return errors.guarded(lambda: _dispatch(list(words)), json=wants_json(words), verbose=verbose)


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    verb, rest = hoist(words)
    if not verb:
        return _without_verb(rest)
    _check_verb(verb)
    app = build(verb)
    if tuple(verb) in OPERANDS_BEFORE_COMMAND:
        rest = _with_command_apart(app, verb, rest)
    try:
        function, bound, _ = app.parse_args([*verb, *rest], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _usage(error, verb) from error
    result: Any = function(*bound.args, **bound.kwargs)
    return int(result or 0)


def _without_verb(rest: Sequence[str]) -> int:
    if not {"-h", "--help"}.isdisjoint(rest):
        return say(top_help())
    raise UsageError("no verb given", "'aetherium --help' lists them")


def _check_verb(verb: Sequence[str]) -> None:
    """Raise UsageError for a verb that there is not; a group alone prints its help."""
    group = f"{verb[0]} " if verb[0] in GROUPS else ""
    known = {name.removeprefix(group) for name in _names() if name.startswith(group)}
    word = verb[1] if verb[1:] else verb[0]
    if word not in known | (set() if verb[1:] else GROUPS):
        raise UsageError(
            f"unknown verb {' '.join(verb)!r}{suggestion(word, {name.split()[0] for name in known} | GROUPS)}",
            f"'aetherium {group}--help' lists them",
        )


def _names() -> set[str]:
    found = set()
    for names, *_ in VERBS:
        first, *others = names.split("|")
        group = first.rpartition(" ")[0]
        found |= {first, *(f"{group} {other}".strip() for other in others)}
    return found


def _with_command_apart(app: App, verb: Sequence[str], rest: Sequence[str]) -> list[str]:
    """Put what belongs to the command behind ``--``, where the parser does not look."""
    valued: set[str] = set()
    flags = {"-h", "--help"}
    for word in verb:
        app = app[word]
    for argument in app.assemble_argument_collection():
        names = [name for name in argument.names if name.startswith("-")]
        (flags if argument.is_flag() else valued).update(names)
    options, operands, command = split_command(rest, OPERANDS_BEFORE_COMMAND[tuple(verb)], valued=valued, flags=flags)
    return [*options, "--", *operands, *command]


def _usage(error: CycloptsError, verb: Sequence[str]) -> UsageError:
    error.verbose = False
    message = str(error).strip().rstrip(".")
    return UsageError(message[:1].lower() + message[1:], f"see 'aetherium {' '.join(verb)} --help'")
