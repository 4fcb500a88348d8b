from __future__ import annotations

import pytest

from aetherium.model.config import ServerConfig, VMDefaults
from aetherium.model.log import Level
from aetherium.model.secret import Secret

from .conftest import Load, Refuse
from .fakes import Bubblewrap, Limits, Postgres, Sqlite


@pytest.mark.parametrize(
    ("environ", "server"),
    [
        ({"AETHERIUM__SERVER__PORT": "1"}, ServerConfig(host="file", port=1)),
        ({"aetherium__Server__PORT": " 0x10 "}, ServerConfig(host="file", port=16)),
        ({"AETHERIUM__SERVER": "{port: 1}"}, ServerConfig(host="file", port=1)),
        ({"AETHERIUM__SERVER": "{port: 1}", "AETHERIUM__SERVER__PORT": "3"}, ServerConfig(host="file", port=3)),
        ({"AETHERIUM__SERVER__HOST": "8080"}, ServerConfig(host="8080", port=2)),
        ({"AETHERIUM__SERVER__HOST": "'a: b'"}, ServerConfig(host="a: b", port=2)),
        ({"AETHERIUM__SERVER__HOST": "a: b # c"}, ServerConfig(host="a: b # c", port=2)),
        ({"AETHERIUM__SERVER__HOST": "${PORT} $$"}, ServerConfig(host="${PORT} $$", port=2)),
        ({"AETHERIUM__SERVER__HOST": '"'}, ServerConfig(host='"', port=2)),
        ({"AETHERIUM__SERVER__PORT": ""}, ServerConfig(host="file", port=2)),
        ({"AETHERIUM_SERVER__PORT": "1", "XAETHERIUM__SERVER__PORT": "1"}, ServerConfig(host="file", port=2)),
    ],
)
def test_it_wins_over_the_file(load_text: Load, environ: dict[str, str], server: ServerConfig) -> None:
    assert load_text("server: {host: file, port: 2}", environ).config.server == server


def test_a_value_that_the_environment_replaces_is_not_judged(load_text: Load) -> None:
    assert load_text("server: {port: eighty}", {"AETHERIUM__SERVER__PORT": "80"}).config.server.port == 80


@pytest.mark.parametrize(
    "text", ["{provider: postgres, url: ${X}}", "{provider: ${X}, postgres: {url: '${X}', pool: 5}}"]
)
def test_nor_is_a_variable_missed_that_only_such_a_value_uses(load_text: Load, text: str) -> None:
    environ = {"AETHERIUM__STORAGE__URL": "postgres://new", "AETHERIUM__STORAGE__PROVIDER": "postgres"}
    storage = load_text(f"storage: {text}", environ).config.storage
    assert storage.options == {"postgres": Postgres(url=Secret("postgres://new"))}


def test_options_beside_a_provider_that_is_replaced_are_not_lost(load_text: Load, refuse: Refuse) -> None:
    environ = {"AETHERIUM__STORAGE__PROVIDER": "sqlite"}
    assert load_text("storage: {provider: ${X}, file: f}", environ).config.storage.options == {
        "sqlite": Sqlite(file="f")
    }
    assert refuse("storage: {provider: nosuch, pool: 5}", environ) == [
        "a.yaml:1: storage.pool: unknown key; known here: absent, cache_mib, file, memory, odd, password, postgres, "
        "provider, sqlite, vague"
    ]


def test_without_a_file(load_text: Load) -> None:
    defaults = load_text("", {"AETHERIUM__VMM__DEFAULTS__MEMORY_MIB": "64"}).config.vmm.defaults
    assert defaults == VMDefaults(memory_mib=64)


def test_lists_are_replaced_and_mappings_are_joined(load_text: Load) -> None:
    text = "vmm: {bubblewrap: {readonly: [/a, /b], env: {A: x}, limits: {user: u}}}"
    environ = {
        "AETHERIUM__VMM__BUBBLEWRAP__READONLY": "[/c]",
        "AETHERIUM__VMM__BUBBLEWRAP__ENV": "{B: y}",
        "AETHERIUM__VMM__BUBBLEWRAP__LIMITS__OPEN_FILES": "5",
    }
    assert load_text(text, environ).config.vmm.options["bubblewrap"] == Bubblewrap(
        readonly=("/c",), env={"A": "x", "B": "y"}, limits=Limits(open_files=5, user="u")
    )


def test_a_secret_is_taken_as_it_is_written(load_text: Load) -> None:
    for value in ("0123", "1e3", "true", "a#b: c", "$HOME", "${X}", "x'"):
        storage = load_text("", {"AETHERIUM__STORAGE__PASSWORD": value}).config.storage
        assert storage.options == {"sqlite": Sqlite(password=Secret(value))}


@pytest.mark.parametrize("key", ["URL", "POSTGRES__URL"])
@pytest.mark.parametrize(
    "text", ["{provider: postgres, url: postgres://old}", "{provider: postgres, postgres: {url: x}}"]
)
def test_either_form_is_overridden_by_either_form(load_text: Load, text: str, key: str) -> None:
    storage = load_text(f"storage: {text}", {f"AETHERIUM__STORAGE__{key}": "postgres://new"}).config.storage
    assert storage.options == {"postgres": Postgres(url=Secret("postgres://new"))}


def test_switching_the_provider_does_not_hand_it_the_options_of_another(load_text: Load) -> None:
    text = "storage: {provider: postgres, url: postgres://old}"
    storage = load_text(
        text, {"AETHERIUM__STORAGE__PROVIDER": "sqlite", "AETHERIUM__STORAGE__FILE": "x"}
    ).config.storage
    assert storage.provider == "sqlite"
    assert storage.options == {"postgres": Postgres(url=Secret("postgres://old")), "sqlite": Sqlite(file="x")}


def test_the_log_level_variable(load_text: Load) -> None:
    environ = {"AETHERIUM_LOG_LEVEL": "DEBUG"}
    assert load_text("logging: {level: error}", environ).config.logging.level is Level.DEBUG
    environ["AETHERIUM__LOGGING__LEVEL"] = "warning"
    assert load_text("logging: {level: error}", environ).config.logging.level is Level.WARNING


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("AETHERIUM__SERVER__PORT", "x", "server.port: must be an integer, not a string"),
        ("AETHERIUM__SERVER__PORT", "'80'", "server.port: must be an integer, not a string"),
        ("AETHERIUM__SERVER", "{port: 0}", "server.port: must be from 1 to 65535"),
        ("AETHERIUM__SERVER", "{port: 1", "server: '{' without its '}', or a ',' is missing"),
        (
            "AETHERIUM__SERVER",
            "{port: 1} x",
            "server: this does not fit the lines above it; check quotes and indentation",
        ),
        ("AETHERIUM__SERVER", "{port: 1, port: 2}", "server.port: is there twice; first at {variable}"),
        ("AETHERIUM__SERVER", "80", "server: must be a mapping, not an integer"),
        ("AETHERIUM__SERVER__HOST", "\udcff", "server.host: is not UTF-8 text"),
        ("AETHERIUM__SERVER__PROT", "1", "server.prot: unknown key; did you mean 'port'? known here: host, port"),
        (
            "AETHERIUM__VMM__PROVIDER",
            "bublewrap",
            "vmm.provider: unknown provider; did you mean 'bubblewrap'? known are: absent, auto, bubblewrap, memory",
        ),
        ("AETHERIUM__LOGGING__LEVEL", "loud", "logging.level: must be debug, info, warning or error"),
        ("AETHERIUM_LOG_LEVEL", "loud", "logging.level: must be debug, info, warning or error"),
        ("AETHERIUM__STORAGE__PROVIDER", "postgres", "storage.postgres.url: is required"),
    ],
)
def test_messages_name_the_variable(refuse: Refuse, name: str, value: str, problem: str) -> None:
    variable = f"environment variable {name}"
    assert refuse("", {name: value}) == [f"{variable}: {problem.replace('{variable}', variable)}"]


@pytest.mark.parametrize("name", ["AETHERIUM__", "AETHERIUM__A____B", "AETHERIUM__A__"])
def test_a_variable_that_names_no_key(refuse: Refuse, name: str) -> None:
    assert refuse("", {name: "1"}) == [f"environment variable {name}: names no key: write AETHERIUM__SECTION__KEY"]


def test_two_spellings_of_one_variable(refuse: Refuse) -> None:
    assert refuse("", {"AETHERIUM__SERVER__PORT": "1", "aetherium__server__port": "2"}) == [
        "environment variable aetherium__server__port: server.port: is set by AETHERIUM__SERVER__PORT, too"
    ]


def test_a_message_names_the_form_that_holds(refuse: Refuse) -> None:
    text = "storage: {provider: postgres, url: postgres, pool: 1}"
    assert refuse(text, {"AETHERIUM__STORAGE__POSTGRES__POOL": "0"}) == [
        "environment variable AETHERIUM__STORAGE__POSTGRES__POOL: storage.postgres.pool: must be from 1 to 100"
    ]
    nested = "storage: {provider: postgres, postgres: {url: postgres, pool: 1}}"
    assert refuse(nested, {"AETHERIUM__STORAGE__POOL": "0"}) == [
        "environment variable AETHERIUM__STORAGE__POOL: storage.pool: must be from 1 to 100"
    ]
