"""All verbs put together. Each is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cyclopts import App, CycloptsError, Parameter

from aetherium.cli import errors
from aetherium.cli.argv import OPERANDS_BEFORE_COMMAND, UsageError, hoist, split_command, wants_json

DESCRIPTION: Final = "Run AI agents and other untrusted programs, each in an isolated machine of its own."

VERBS: Final = (
    ("run", "aetherium.cli.run:run", "Run a command in a VM of its own."),
    ("vm create", "aetherium.cli.vm_create:create", "Create a VM, start it, and print its id."),
    ("vm start", "aetherium.cli.vm_life:start", "Start VMs."),
    ("vm stop", "aetherium.cli.vm_life:stop", "Stop VMs; their files stay."),
    ("vm pause", "aetherium.cli.vm_life:pause", "Stop the processors of VMs; their memory stays."),
    ("vm resume", "aetherium.cli.vm_life:resume", "Let paused VMs go on."),
    ("vm delete|rm", "aetherium.cli.vm_life:delete", "End VMs and forget them with their files."),
    ("vm list|ls", "aetherium.cli.vm_list:list_", "List VMs."),
    ("vm status", "aetherium.cli.vm_list:status", "Show a VM."),
    ("vm exec", "aetherium.cli.vm_exec:exec_", "Run a command in a VM."),
    ("vm shell", "aetherium.cli.vm_exec:shell", "Open a shell in a VM."),
    ("version", "aetherium.cli.version:version", "Show the versions of what is installed."),
)
"""Where each verb (with its other names) is, and what it does in one line."""

GROUP_HELP: Final = {
    "vm": "Create, use and end VMs.",
    "config": "Look at the configuration.",
}


def build(verb: Sequence[str] = ()) -> App:
    """Return the parser. No verb is imported yet; ``verb`` will be, so that its own words describe it."""
    app = App(
        name="aetherium",
        help=DESCRIPTION,
        version_flags=[],
        default_parameter=Parameter(negative=(), json_list=False, json_dict=False, show_default=False),
        result_action="return_value",
    )
    groups: dict[str, App] = {}
    for names, where, summary in VERBS:
        *path, name = names.partition("|")[0].split()
        aliases = names.split("|")[1:]
        parent = app
        if path:
            if path[0] not in groups:
                groups[path[0]] = App(name=path[0], help=GROUP_HELP[path[0]], version_flags=[])
                app.command(groups[path[0]])
            parent = groups[path[0]]
        asked = list(verb) in [[*path, known] for known in (name, *aliases)]
        parent.command(where, name=name, alias=aliases, help=None if asked else summary)
    return app


def main(words: Sequence[str]) -> int:
    """Run the verb that ``words`` name and return the exit code."""
    verbose = "-v" in words or "--verbose" in words
    return errors.guarded(lambda: _dispatch(words), json=wants_json(words), verbose=verbose)


def _dispatch(words: Sequence[str]) -> int:
    verb, rest = hoist(words)
    app = build(verb)
    if tuple(verb) in OPERANDS_BEFORE_COMMAND:
        rest = _with_command_apart(app, verb, rest)
    try:
        function, bound, _ = app.parse_args([*verb, *rest], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _usage(error, verb) from error
    result: Any = function(*bound.args, **bound.kwargs)
    return int(result or 0)


def _with_command_apart(app: App, verb: Sequence[str], rest: Sequence[str]) -> list[str]:
    """Put what belongs to the command behind ``--``, where the parser does not look."""
    valued: set[str] = set()
    flags = {"-h", "--help"}
    for argument in (
        app[verb[0]][verb[1]].assemble_argument_collection()
        if verb[1:]
        else app[verb[0]].assemble_argument_collection()
    ):
        names = [name for name in argument.names if name.startswith("-")]
        (flags if argument.is_flag() else valued).update(names)
    options, operands, command = split_command(rest, OPERANDS_BEFORE_COMMAND[tuple(verb)], valued=valued, flags=flags)
    return [*options, "--", *operands, *command]


def _usage(error: CycloptsError, verb: Sequence[str]) -> UsageError:
    error.verbose = False
    message = str(error).strip().rstrip(".")
    return UsageError(
        message[:1].lower() + message[1:], f"see 'aetherium{''.join(' ' + word for word in verb)} --help'"
    )
