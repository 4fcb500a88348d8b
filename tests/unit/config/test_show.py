from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherium.app.config import as_dict, dump, load
from aetherium.model.config import Config, LoggingConfig, ServerConfig, StorageConfig, VMDefaults, VMMConfig
from aetherium.model.log import Level
from aetherium.model.secret import MASK, Secret

from .conftest import Load, Refuse
from .fakes import REGISTRY, Bubblewrap, Color, Limits, Postgres, Sqlite

DEFAULTS = """\
server:
  host: 127.0.0.1
  port: 8080
vmm:
  provider: auto
  isolation: namespace
  defaults:
    cpus: 1
    memory_mib: 512
    timeout_s: 3600
    pids: 512
storage:
  provider: sqlite
task_queue:
  provider: sqlite
event_bus:
  provider: memory
logging:
  provider: stdout
  format: text
  level: info
integrations:
  enabled: []
"""


def test_the_defaults() -> None:
    assert dump(Config()) == DEFAULTS


def test_every_kind_of_value() -> None:
    options = Bubblewrap(
        readonly=("/a", "b c", "8"), env={"A b": "$x", "$": "\x85\U0001f600\ufeff"}, keys={"k": Secret("hunter2")}
    )
    shown = as_dict(Config(vmm=VMMConfig(options={"bubblewrap": options})))
    assert shown["vmm"]["bubblewrap"]["keys"] == {"k": MASK}
    text = dump(Config(vmm=VMMConfig(options={"bubblewrap": options})))
    assert '    readonly: [/a, "b c", "8"]\n' in text
    assert '      "A b": "$$x"\n      "$": "\\x85😀\\ufeff"\n' in text
    assert '      k: "**********"\n' in text
    assert "    color: red\n    either: 0\n    uid: auto\n" in text
    assert json.loads(json.dumps(shown)) == shown
    assert "hunter2" not in text + str(shown)


def test_a_list_of_strange_things_fits_a_line() -> None:
    storage = StorageConfig(options={"x": Limits(user="null"), "y": Postgres(url=Secret("postgres"), ca=Path("/c"))})
    text = dump(Config(storage=storage))
    assert '    user: "null"\n' in text
    assert '    url: "**********"\n    pool: 5\n    ca: /c\n    verify: true\n    timeout_s: 5\n' in text


def test_origins(load_text: Load) -> None:
    loaded = load_text(
        "server:\n  port: 1\nstorage: {provider: postgres,\n url: postgres}\nintegrations: {enabled: []}\n"
        "vmm: {bubblewrap: {env: {a.b: x}, limits: {user: u}, keys: {}}}",
        {"AETHERIUM__SERVER__HOST": "h", "AETHERIUM_LOG_LEVEL": "error"},
    )
    assert loaded.origins == {
        "server.port": "a.yaml:2",
        "server.host": "environment variable AETHERIUM__SERVER__HOST",
        "storage.provider": "a.yaml:3",
        "storage.postgres.url": "a.yaml:4",
        "integrations.enabled": "a.yaml:5",
        "vmm.bubblewrap.env.'a.b'": "a.yaml:6",
        "vmm.bubblewrap.limits.user": "a.yaml:6",
        "vmm.bubblewrap.keys": "a.yaml:6",
        "logging.level": "environment variable AETHERIUM_LOG_LEVEL",
    }
    lines = dump(loaded.config, origins=loaded.origins).splitlines()
    assert "  host: h  # environment variable AETHERIUM__SERVER__HOST" in lines
    assert "  port: 1  # a.yaml:2" in lines
    assert "  isolation: namespace  # default" in lines
    assert '    url: "**********"  # a.yaml:4' in lines
    assert "      a.b: x  # a.yaml:6" in lines


words = st.text(st.characters(codec="utf-8"), max_size=12)
configs = st.builds(
    Config,
    server=st.builds(ServerConfig, host=words, port=st.integers(1, 65535)),
    vmm=st.builds(
        VMMConfig,
        provider=st.sampled_from(["auto", "memory"]),
        defaults=st.builds(VMDefaults, cpus=st.floats(0.01, 1024)),
        options=st.fixed_dictionaries(
            {
                "bubblewrap": st.builds(
                    Bubblewrap,
                    binary=words,
                    readonly=st.lists(words, max_size=3).map(tuple),
                    env=st.dictionaries(words.filter(lambda key: key not in ("", "<<")), words, max_size=3),
                    color=st.sampled_from(Color),
                    keys=st.just({}),
                    profiles=st.just({}),
                )
            }
        ),
    ),
    storage=st.builds(StorageConfig, options=st.just({"sqlite": Sqlite(cache_mib=None)})),
    logging=st.builds(LoggingConfig, provider=st.just("memory"), level=st.sampled_from(Level), options=st.just({})),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(configs)
def test_what_is_shown_loads_as_the_same(tmp_path: Path, config: Config) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(dump(config), encoding="utf-8", newline="")
    assert load(file, environ={}, registry=REGISTRY).config == config


def test_a_shown_secret_is_not_taken_for_a_secret(refuse: Refuse) -> None:
    config = Config(storage=StorageConfig(provider="sqlite", options={"sqlite": Sqlite(password=Secret("hunter2"))}))
    assert refuse(dump(config)) == ["a.yaml:17: storage.sqlite.password: is the mask of a shown secret, not a secret"]
