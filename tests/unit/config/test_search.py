from __future__ import annotations

import os
from pathlib import Path

import pytest

from aetherium.app.config import load, search_places, state_dir
from aetherium.model.errors import ConfigInvalid, InvalidArgument

from .fakes import REGISTRY

NOBODY = 2**31 - 7


def test_the_places_in_order() -> None:
    assert search_places({"HOME": "/home/a"}, 1) == (
        Path("aetherium.yaml"),
        Path("/home/a/.config/aetherium/config.yaml"),
        Path("/etc/aetherium/config.yaml"),
    )
    assert search_places({"HOME": "/home/a", "XDG_CONFIG_HOME": "/x"}, 1)[1] == Path("/x/aetherium/config.yaml")
    assert search_places({"HOME": "/h", "XDG_CONFIG_HOME": "x"}, 1)[1] == Path("/h/.config/aetherium/config.yaml")
    assert search_places({}, NOBODY) == (Path("aetherium.yaml"), Path("/etc/aetherium/config.yaml"))


def test_the_first_file_there_is(tmp_path: Path) -> None:
    first, second, named = tmp_path / "1.yaml", tmp_path / "2.yaml", tmp_path / "3.yaml"
    second.write_text("server: {port: 2}")
    named.write_text("server: {port: 3}")

    def port(path: Path | None = None, **environ: str) -> int:
        return load(path, environ=environ, registry=REGISTRY, places=(first, second)).config.server.port

    assert port() == 2
    first.write_text("server: {port: 1}")
    assert port() == 1
    assert port(AETHERIUM_CONFIG=str(named)) == 3
    assert port(AETHERIUM_CONFIG="") == 1
    assert port(second, AETHERIUM_CONFIG=str(named)) == 2


def test_a_place_that_is_there_and_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="Is a directory"):
        load(None, environ={}, registry=REGISTRY, places=(tmp_path,))


def test_the_working_directory_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("aetherium.yaml").write_text("server: {port: 4}")
    loaded = load(None, environ={"HOME": str(tmp_path)}, registry=REGISTRY)
    assert loaded.config.server.port == 4
    assert loaded.origins == {"server.port": "aetherium.yaml:1"}


@pytest.mark.parametrize(
    ("option", "environ", "uid", "expected"),
    [
        (Path("/o"), {"AETHERIUM_STATE_DIR": "/v"}, 0, Path("/o")),
        (None, {"AETHERIUM_STATE_DIR": "/v"}, 0, Path("/v")),
        (None, {"AETHERIUM_STATE_DIR": ""}, 0, Path("/var/lib/aetherium")),
        (None, {"HOME": "/home/a"}, 0, Path("/var/lib/aetherium")),
        (None, {"HOME": "/home/a"}, 1, Path("/home/a/.local/share/aetherium")),
        (None, {"HOME": "/home/a", "XDG_DATA_HOME": "/d"}, 1, Path("/d/aetherium")),
        (None, {"HOME": "/home/a", "XDG_DATA_HOME": "d"}, 1, Path("/home/a/.local/share/aetherium")),
    ],
)
def test_state_directory(option: Path | None, environ: dict[str, str], uid: int, expected: Path) -> None:
    assert state_dir(option, environ, uid) == expected


def test_a_relative_state_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_dir(Path("a"), {}, 1) == Path(os.getcwd()) / "a"
    assert state_dir(None, {"AETHERIUM_STATE_DIR": "b"}, 1) == Path(os.getcwd()) / "b"


def test_a_user_without_a_home_must_name_a_state_directory() -> None:
    with pytest.raises(InvalidArgument) as caught:
        state_dir(None, {}, NOBODY)
    assert caught.value.remedy == "give --state-dir or AETHERIUM_STATE_DIR"
