"""The words that options take."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from aetherium.cli import parsing
from aetherium.cli.parsing import CopySpec, Place


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512m", 512),
        ("512M", 512),
        ("512MiB", 512),
        ("512mb", 512),
        ("2g", 2048),
        ("1.5GiB", 1536),
        ("1t", 1024 * 1024),
        ("65536k", 64),
        ("67108864b", 64),
        ("1k", 1),  # rounded up: less than asked for would be a lie
    ],
)
def test_sizes(text: str, mib: int) -> None:
    assert parsing.size_mib(text) == mib


@pytest.mark.parametrize("text", ["", "512", "m", "-1m", "1x", "1 m b", "0x10m", "1m2", "1,5g"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="512m"):
        parsing.size_mib(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("250ms", 0.25),
        ("0.5", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parsing.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "-5", "1h 30m", "m5", "1e3", "inf", "nan"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="5m"):
        parsing.duration_s(text)


def test_variables() -> None:
    environ = {"HOME": "/root", "EMPTY": ""}
    given = ["A=1", "B=", "C=x=y", "HOME", "EMPTY", "NOT_SET", "A=2"]
    assert parsing.variables(given, environ) == {"A": "2", "B": "", "C": "x=y", "HOME": "/root", "EMPTY": ""}


def test_a_variable_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parsing.variables(["=x"], {})


def test_labels() -> None:
    assert parsing.labels(["a=b", "c", "d=e=f"]) == {"a": "b", "c": "", "d": "e=f"}
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parsing.labels(["=b"])


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [("a:b", "a", "b"), ("./x:/y", "./x", "/y"), ("C:/x:/y", "C:/x", "/y"), ("/a b:/c d", "/a b", "/c d")],
)
def test_copies(text: str, source: str, target: str) -> None:
    assert parsing.copy(text) == CopySpec(source, target)


@pytest.mark.parametrize("text", ["", "a", "a:", ":b", ":"])
def test_what_is_no_copy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SRC:DST"):
        parsing.copy(text)


def test_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "with:colon").mkdir()
    monkeypatch.chdir(tmp_path)
    plain = parsing.mount("data:/data")
    assert (plain.source, plain.target, plain.read_only) == (str(tmp_path / "data"), "/data", False)
    assert parsing.mount(f"{tmp_path}/data:/data:ro").read_only
    assert not parsing.mount(f"{tmp_path}/data:/data:rw").read_only
    assert parsing.mount("with:colon:/x").source == str(tmp_path / "with:colon")


@pytest.mark.parametrize("text", ["", "/tmp", "/tmp:", ":/x", "/tmp:ro", "/tmp:relative", "/nowhere/at/all:/x"])
def test_what_is_no_mount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"mount|absolute"):
        parsing.mount(text)


@pytest.mark.parametrize("text", ["9", "KILL", "SIGKILL", "kill", "sigkill"])
def test_signals(text: str) -> None:
    assert parsing.signal_number(text) == signal.SIGKILL


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "NOPE", "SIG"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TERM"):
        parsing.signal_number(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("vm:/path", Place("vm", "/path")),
        ("vm:path", Place("vm", "path")),
        ("vm:", Place("vm", ".")),
        ("-", Place(None, "-")),
        ("file", Place(None, "file")),
        ("./a:b", Place(None, "./a:b")),
        ("/abs/a:b", Place(None, "/abs/a:b")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert parsing.place(text) == place


def test_a_place_in_no_vm_is_refused() -> None:
    with pytest.raises(ValueError, match="VM:PATH"):
        parsing.place(":/path")
