"""Verbs that need no engine, and command lines that make no sense."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from aetherium.cli.root import VERBS, main


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AETHERIUM_STATE_DIR", str(tmp_path / "state"))
    for name in ("AETHERIUM_CONFIG", "XDG_CONFIG_HOME", "AETHERIUM_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def call(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Call a verb in this process, insist on exit code 0, and return what it printed."""
    assert main(words) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("vm lst", "did you mean 'list'"),
        ("rnu", "did you mean 'run'"),
        ("config chekc", "did you mean 'check'"),
        ("--jsno vm list", "did you mean '--json'"),
        ("--json", "no verb"),
        ("vm start", "VM"),
        ("vm status", "VM"),
        ("vm status a b", "b"),
        ("vm list --sate x", "--state"),
        ("vm list --state x", "running"),
        ("vm list --label", "--label"),
        ("vm exec box", "no command"),
        ("vm exec -d -i box -- cat", "-d and -i"),
        ("vm kill box x -s nope", "TERM"),
        ("vm logs box --offset -1", "offset"),
        ("vm logs box e --console", "--console"),
        ("vm cp a b", "VM:PATH"),
        ("vm cp v:a w:b", "VM:PATH"),
        ("vm cp a", "TARGET"),
        ("vm create --no-start --copy a:b", "--copy"),
        ("run", "no command"),
        ("run --memory many -- true", "512m"),
        ("run --memroy 1g -- true", "did you mean '--memory'"),
        ("run --mount nowhere -- true", "SRC:DST"),
        ("run --timeout soon -- true", "5m"),
        ("run --cpus many -- true", "--cpus"),
        ("run --isolation strong -- true", "namespace"),
        ("run -t --json -- true", "--json"),
        ("completion tcsh", "zsh"),
    ],
)
def test_what_makes_no_sense(capfd: pytest.CaptureFixture[str], words: str, wanted: str) -> None:
    assert main(words.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert wanted in err
    assert "Traceback" not in err
    assert not Path("state").exists()


def test_usage_errors_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "vm", "lst"]) == 2
    assert json.loads(capfd.readouterr().err)["code"] == "usage"


@pytest.mark.parametrize("names", [names for names, *_ in VERBS])
def test_every_verb_has_help(capfd: pytest.CaptureFixture[str], names: str) -> None:
    group = names.rpartition(" ")[0]
    for name in names.split("|"):
        verb = f"{group} {name.removeprefix(group)}".split()
        shown = call(capfd, *verb, "--help")
        assert "Usage: aetherium " in shown
        assert "--state-dir" in shown


def test_other_ways_to_ask_for_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert "Usage: aetherium vm exec" in call(capfd, "help", "vm", "exec")
    assert "create" in call(capfd, "vm")
    assert "Verbs:" in call(capfd, "--json", "--help")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capfd: pytest.CaptureFixture[str], shell: str) -> None:
    script = call(capfd, "completion", shell)
    for word in ("doctor", "run", "state-dir"):
        assert word in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_config(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("a.yaml")
    path.write_text("vmm: {defaults: {cpus: 2}}\n")
    monkeypatch.setenv("AETHERIUM__VMM__ISOLATION", "container")
    named = ("--config", str(path))
    assert "no problem" in call(capfd, "config", "check", *named)
    assert json.loads(call(capfd, "--json", "config", "check", *named)) == {"ok": True, "file": "a.yaml"}
    assert json.loads(call(capfd, "config", "show", "--json", *named))["vmm"]["defaults"]["cpus"] == 2
    shown = call(capfd, "config", "show", "--origins", *named)
    assert "cpus: 2  # a.yaml:1" in shown
    assert "AETHERIUM__VMM__ISOLATION" in shown
    assert "#" not in call(capfd, "config", "show", *named)
    origins = json.loads(call(capfd, "config", "show", "--origins", "--json", *named))["origins"]
    assert origins["vmm.defaults.cpus"] == "a.yaml:1"


def test_config_with_mistakes(capfd: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("vmm:\n  defaults: {cpus: many}\nservre: {}\n")
    assert main(["config", "check", "--config", "bad.yaml"]) == 125
    err = capfd.readouterr().err
    assert "bad.yaml:2" in err
    assert "bad.yaml:3" in err
