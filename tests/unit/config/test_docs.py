"""The shipped example and the guide say what is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, make_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from aetherium.app.config import Registry, as_dict, load
from aetherium.app.config.scalar import resolve
from aetherium.model.config import Config
from aetherium.model.errors import ConfigInvalid

from .fakes import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "aetherium.example.yaml"
GUIDE = (ROOT / "docs/guides/configuration.md").read_text(encoding="utf-8")
YAML = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([\w.]+)` \| ([\w ]+) \| (?:`([^`]*)` )?\| ", re.MULTILINE)
TYPES: Mapping[str, Any] = {
    "text": str | None,
    "integer": int,
    "number": float,
    "true or false": bool,
    "auto or integer": Literal["auto"] | int,
}
MODULES = {
    ("vmm", "bubblewrap"): "aetherium.drivers.vmm.bubblewrap",
    ("storage", "sqlite"): "aetherium.drivers.store.sqlite",
    ("logging", "stdout"): "aetherium.drivers.logs.stdout",
    ("logging", "memory"): "aetherium.drivers.logs.memory",
}


def sections() -> Iterator[tuple[str, str, dict[str, tuple[str, object]]]]:
    """Yield what the guide says of each provider: its section, its name, its options with type and default."""
    for part in GUIDE.split("\n### ")[1:]:
        section, name = part.partition("\n")[0].strip("`").split(".")
        body = part.partition("\n## ")[0]
        yield section, name, {key: (kind, resolve(default)) for key, kind, default in ROW.findall(body)}


documented = SimpleNamespace()
TABLE: dict[str, dict[str, str | None]] = {section: dict(names) for section, names in REGISTRY.table.items()}
for _section, _name, _options in sections():
    _type = make_dataclass(
        f"{_section}_{_name}",
        [(key, TYPES[kind], field(default=default)) for key, (kind, default) in _options.items()],
        frozen=True,
    )
    setattr(documented, f"{_section}_{_name}", _type)
    TABLE[_section][_name] = f"{__name__}:documented.{_section}_{_name}"
DOCUMENTED = Registry(TABLE)


def load_written(directory: Path, text: str) -> Config:
    file = directory / "written.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ={}, registry=DOCUMENTED).config


def without_options(config: Config) -> Config:
    values = {one.name: getattr(config, one.name) for one in fields(config)}
    return Config(
        **{name: replace(value, options={}) if hasattr(value, "options") else value for name, value in values.items()}
    )


def test_the_example_loads_as_it_is_and_is_the_defaults() -> None:
    loaded = load(EXAMPLE, environ={}, registry=DOCUMENTED)
    assert without_options(loaded.config) == Config()
    assert loaded.config.logging.options["stdout"] == documented.logging_stdout()


def test_the_example_has_every_key() -> None:
    def keys(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for key, value in table.items():
            yield from keys(value, f"{path}{key}.") if isinstance(value, Mapping) else (f"{path}{key}",)

    assert set(keys(as_dict(Config()))) <= set(load(EXAMPLE, environ={}, registry=DOCUMENTED).origins)


def test_every_key_of_the_example_has_a_comment() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line and not line.lstrip().startswith("#"):
            assert "#" in line or lines[number - 1].startswith("#"), line


def test_the_commented_options_of_the_example_load_too(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    commented, count = re.subn(r"^(  )# (  )?(\w+:.*)$", r"\1\2\3", text, flags=re.MULTILINE)
    assert count == 3
    config = load_written(tmp_path, commented)
    assert config.storage.options["sqlite"] == documented.storage_sqlite(path="state.db")
    assert config.vmm.options["bubblewrap"] == documented.vmm_bubblewrap(require_limits=True)


@pytest.mark.parametrize("text", YAML)
def test_every_yaml_block_of_the_guide_loads(tmp_path: Path, text: str) -> None:
    assert load_written(tmp_path, text)


def test_the_two_forms_of_the_guide_are_the_same(tmp_path: Path) -> None:
    one_line, nested = (load_written(tmp_path, text) for text in YAML if "path: state.db" in text)
    assert one_line == nested


def test_the_table_of_keys_is_complete_and_right() -> None:
    flat: dict[str, object] = {}
    for section, keys in as_dict(Config()).items():
        for key, value in keys.items():
            flat |= (
                {f"{section}.{key}.{k}": v for k, v in value.items()}
                if key == "defaults"
                else {f"{section}.{key}": value}
            )
    table = GUIDE.partition("## Sections")[2].partition("\n## ")[0]
    said: dict[str, object] = {
        key: [] if default == "[]" else resolve(default) for key, _, default in ROW.findall(table)
    }
    assert said == flat


def test_the_errors_of_the_guide_are_the_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("aetherium.yaml").write_text(
        "server:\n  prot: 1\nvmm:\n  provider: bublewrap\n  defaults: {cpus: 0}\nlogging: {level: '${LEVEL}'}\n"
    )
    shipped = Registry({**TABLE, "vmm": {"bubblewrap": TABLE["vmm"]["bubblewrap"], "memory": None}})
    with pytest.raises(ConfigInvalid) as caught:
        load(None, environ={"AETHERIUM__SERVER__PORT": "x"}, registry=shipped)
    assert f"```text\n{caught.value}\n```" in GUIDE


def test_the_variables_of_the_guide(tmp_path: Path) -> None:
    block = re.search(r"^```text\n(AETHERIUM__.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert block is not None
    environ = {name: value.strip("'") for name, _, value in (line.partition("=") for line in block[1].splitlines())}
    config = load(None, environ=environ, registry=DOCUMENTED, places=()).config
    assert (config.server.port, config.vmm.defaults.memory_mib, config.vmm.defaults.pids) == (9000, 1024, 1024)


@pytest.mark.parametrize(("section", "name", "options"), list(sections()), ids=lambda value: str(value)[:20])
def test_options_are_those_of_the_driver(section: str, name: str, options: dict[str, tuple[str, object]]) -> None:
    module = pytest.importorskip(MODULES[section, name], exc_type=ModuleNotFoundError)
    assert {one.name: one.default for one in fields(module.Config)} == {
        key: value for key, (_, value) in options.items()
    }
