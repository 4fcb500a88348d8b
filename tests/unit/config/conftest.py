from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aetherium.app.config import LoadedConfig, load
from aetherium.model.errors import ConfigInvalid

from .fakes import REGISTRY

Load = Callable[..., LoadedConfig]
Refuse = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a text as the file ``a.yaml``, with nothing in the environment but what is given."""
    monkeypatch.chdir(tmp_path)

    def load_it(text: str, environ: Mapping[str, str] | None = None) -> LoadedConfig:
        Path("a.yaml").write_text(text, encoding="utf-8", newline="")
        return load(Path("a.yaml"), environ=environ or {}, registry=REGISTRY, places=())

    return load_it


@pytest.fixture
def refuse(load_text: Load) -> Refuse:
    """Load a text that must be refused; return the problems."""

    def refuse_it(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigInvalid) as caught:
            load_text(text, environ)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return list(caught.value.problems)

    return refuse_it
