from __future__ import annotations

from pathlib import Path

import pytest

from aetherium.app.config import Registry, load, provider_options
from aetherium.model.config import (
    Config,
    IntegrationsConfig,
    LogFormat,
    LoggingConfig,
    ServerConfig,
    StorageConfig,
    VMDefaults,
    VMMConfig,
)
from aetherium.model.errors import ConfigInvalid
from aetherium.model.log import Level
from aetherium.model.secret import Secret
from aetherium.model.vm import Isolation

from .conftest import Load
from .fakes import REGISTRY, Bubblewrap, Color, GitHub, Limits, Postgres, Sqlite, Stdout, at

URL = "postgres://u:hunter2@db/x"


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n", "null", "{}", "server:\n", "server: {}\nvmm: null\n"])
def test_nothing_written_means_the_defaults(load_text: Load, text: str) -> None:
    assert load_text(text).config == Config()


def test_every_section(load_text: Load) -> None:
    loaded = load_text(
        """
        server: {host: 0.0.0.0, port: 1}
        vmm:
          provider: bubblewrap
          isolation: vm
          defaults: {cpus: 2, memory_mib: 16, timeout_s: 0.5, pids: 8}
          bubblewrap:
            readonly: [/usr, /etc]
            env: {A: "1"}
            limits: {open_files: 3}
            profiles: {x: {user: root}}
            color: blue
            either: [a]
        storage: {provider: memory}
        logging: {format: json, level: debug}
        integrations: {enabled: [github], github: {token: t}}
        """
    )
    bubblewrap = Bubblewrap(
        readonly=("/usr", "/etc"),
        env={"A": "1"},
        limits=Limits(open_files=3),
        profiles={"x": Limits(user="root")},
        color=Color.BLUE,
        either=("a",),
    )
    assert loaded.config == Config(
        server=ServerConfig(host="0.0.0.0", port=1),
        vmm=VMMConfig(
            provider="bubblewrap",
            isolation=Isolation.VM,
            defaults=VMDefaults(cpus=2.0, memory_mib=16, timeout_s=0.5, pids=8),
            options={"bubblewrap": bubblewrap},
        ),
        storage=StorageConfig(provider="memory"),
        logging=LoggingConfig(
            format=LogFormat.JSON, level=Level.DEBUG, options={"stdout": Stdout(format=LogFormat.JSON)}
        ),
        integrations=IntegrationsConfig(enabled=("github",), options={"github": GitHub(token=Secret("t"))}),
    )
    assert type(loaded.config.vmm.defaults.cpus) is float
    assert loaded.path == Path("a.yaml")


@pytest.mark.parametrize(
    "text",
    [
        f"storage: {{provider: postgres, url: '{URL}', pool: 7}}",
        f"storage: {{provider: postgres, postgres: {{url: '{URL}', pool: 7}}}}",
        f"storage: {{provider: postgres, url: '{URL}', postgres: {{pool: 7}}}}",
        f"storage: {{pool: 7, postgres: {{url: '{URL}'}}, provider: postgres}}",
    ],
)
def test_inline_and_nested_options_are_the_same(load_text: Load, text: str) -> None:
    expected = StorageConfig(provider="postgres", options={"postgres": Postgres(url=Secret(URL), pool=7)})
    assert load_text(text).config.storage == expected


def test_the_one_line_form_of_the_contract(load_text: Load) -> None:
    loaded = load_text("storage: {provider: postgres, url: ${DATABASE_URL}}", {"DATABASE_URL": URL})
    assert loaded.config.storage.options == {"postgres": Postgres(url=Secret(URL))}


def test_options_of_a_default_provider(load_text: Load) -> None:
    assert load_text("storage: {file: x.db}").config.storage.options == {"sqlite": Sqlite(file="x.db")}


def test_sections_of_providers_not_chosen_are_kept(load_text: Load) -> None:
    storage = load_text("storage: {provider: memory, sqlite: {file: x.db}}").config.storage
    assert storage == StorageConfig(provider="memory", options={"sqlite": Sqlite(file="x.db")})


def test_a_section_of_a_provider_that_is_not_installed_is_ignored_unless_chosen(load_text: Load) -> None:
    assert load_text("storage: {absent: {x: 1}}").config.storage == StorageConfig()


def test_a_key_of_the_section_reaches_a_provider_with_that_option(load_text: Load) -> None:
    assert load_text("logging: {format: json}").config.logging.options["stdout"] == Stdout(format=LogFormat.JSON)
    nested = load_text("logging: {format: json, stdout: {format: text}}").config.logging
    assert (nested.format, nested.options["stdout"]) == (LogFormat.JSON, Stdout(format=LogFormat.TEXT))
    assert "memory" not in load_text("logging: {provider: memory, format: json}").config.logging.options


def test_anchors(load_text: Load) -> None:
    config = load_text("vmm: {bubblewrap: {profiles: {a: &a {user: x}, b: *a}}}").config
    options = config.vmm.options["bubblewrap"]
    assert isinstance(options, Bubblewrap)
    assert options.profiles == {"a": Limits(user="x"), "b": Limits(user="x")}


@pytest.mark.parametrize(
    ("written", "port"),
    [("${PORT}", 9), ("${NONE:-8080}", 8080), ("${NONE:-0x10}", 16), ("1${PORT}", 19), ("0o1${NONE:-7}", 15)],
)
def test_an_unquoted_value_is_resolved_after_expansion(load_text: Load, written: str, port: int) -> None:
    assert load_text(f"server:\n  port: {written}", {"PORT": "9"}).config.server.port == port
    assert load_text(f"server: {{port: {written}}}", {"PORT": "9"}).config.server.port == port


def test_a_password_of_digits_is_a_string_without_quotes_when_it_comes_from_the_environment(load_text: Load) -> None:
    for text in ("storage: {password: ${P}}", "storage: {sqlite: {password: ${P}}}", 'storage: {password: "${P}"}'):
        assert load_text(text, {"P": "0123"}).config.storage.options == {"sqlite": Sqlite(password=Secret("0123"))}
    bubblewrap = load_text("vmm: {bubblewrap: {env: {A: ${P}, B: x}}}", {"P": "true"}).config.vmm.options["bubblewrap"]
    assert bubblewrap == Bubblewrap(env={"A": "true", "B": "x"})


def test_keys_are_never_expanded(load_text: Load) -> None:
    options = load_text("vmm: {bubblewrap: {env: {${A}: x, $$: y}}}", {"A": "no"}).config.vmm.options["bubblewrap"]
    assert options == Bubblewrap(env={"${A}": "x", "$$": "y"})


def test_block_scalars_and_byte_order_mark(load_text: Load) -> None:
    loaded = load_text("\ufeffvmm:\n  bubblewrap:\n    binary: |-\n      {${X}},\n      b\n", {"X": "[1]"})
    assert loaded.config.vmm.options["bubblewrap"] == Bubblewrap(binary="{[1]},\nb")


def test_defaults_of_a_provider_are_had_by_asking() -> None:
    config = Config(logging=LoggingConfig(format=LogFormat.JSON))
    assert provider_options(config, "logging", "stdout", REGISTRY) == Stdout(format=LogFormat.JSON)
    assert provider_options(config, "storage", "sqlite", REGISTRY) == Sqlite()
    assert provider_options(config, "storage", "memory", REGISTRY) is None
    written = Config(storage=StorageConfig(options={"sqlite": Sqlite(file="x")}))
    assert provider_options(written, "storage", "sqlite", REGISTRY) == Sqlite(file="x")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "storage.provider: unknown provider 'nope'; known are: "),
        ("absent", "storage.provider: the provider 'absent' cannot be loaded: ModuleNotFoundError: No module named"),
        ("postgres", "storage.postgres: Postgres.__init__() missing 1 required keyword-only argument: 'url'"),
    ],
)
def test_a_provider_that_cannot_be_had(name: str, message: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        provider_options(Config(), "storage", name, REGISTRY)
    assert str(caught.value).startswith(message)


def test_a_default_provider_that_nobody_offers_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("storage: {}\nserver: {port: 1}\n")
    assert load(file, environ={}, registry=Registry()).config == Config(server=ServerConfig(port=1))


def test_the_registry_is_asked_for_only_when_there_is_something_to_read(tmp_path: Path) -> None:
    asked: list[bool] = []

    def registry() -> Registry:
        asked.append(True)
        return REGISTRY

    assert load(None, environ={}, registry=registry, places=()).config == Config()
    assert asked == []
    file = tmp_path / "a.yaml"
    file.write_text("storage: {provider: sqlite, file: x}")
    assert load(file, environ={}, registry=registry).config.storage.options == {"sqlite": Sqlite(file="x")}
    assert asked == [True]


def test_a_provider_inside_a_module_is_found() -> None:
    module, _, _ = at("Sqlite").partition(":")
    nested = Registry({"storage": {"x": f"{module.rpartition('.')[0]}:fakes.Sqlite"}})
    assert nested.config_type("storage", "x") is Sqlite
