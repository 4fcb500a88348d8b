"""Nothing that is printed about a configuration has a secret of it."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aetherium.app.config import as_dict, dump, load
from aetherium.model.errors import ConfigInvalid

from .conftest import Load
from .fakes import REGISTRY

PASSWORD = "hunter2"
ENVIRON = {"PASSWORD": PASSWORD, "URL": f"postgres://u:{PASSWORD}@db/x"}


@pytest.mark.parametrize(
    "storage",
    [
        "{provider: postgres, url: ${URL}}",
        "{provider: postgres, url: 'postgres://u:hunter2@db'}",
        "{provider: postgres, postgres: {url: 'postgres://${PASSWORD}@db'}}",
        "{password: ${PASSWORD}}",
        "{password: ${NONE:-hunter2}}",
        "{sqlite: {password: hunter2}}",
    ],
)
def test_what_is_shown(load_text: Load, storage: str) -> None:
    loaded = load_text(f"storage: {storage}", ENVIRON)
    shown = [
        repr(loaded),
        str(loaded.config),
        dump(loaded.config),
        dump(loaded.config, origins=loaded.origins),
        json.dumps(as_dict(loaded.config)),
    ]
    assert [text for text in shown if PASSWORD in text] == []
    assert all("**********" in text for text in shown)


@pytest.mark.parametrize(
    ("storage", "environ"),
    [
        ("{provider: postgres, url: ${PASSWORD}}", {}),
        ("{provider: postgres, url: 'x://${PASSWORD}@db'}", {}),
        ("{provider: postgres, url: [${PASSWORD}]}", {}),
        ("{provider: postgres, url: {a: ${PASSWORD}}}", {}),
        ("{provider: postgres, url: ${URL}, pool: 0}", {}),
        ("{provider: postgres, url: ${URL}, schema: refused}", {}),
        ("{provider: postgres, url: ${URL}, schema: defect}", {}),
        ("{provider: postgres, rul: ${URL}}", {}),
        ("{provider: postgres, url: 'hunter2${'}", {}),
        ("{provider: postgres, url: 'hunter2${NONE}'}", {}),
        ("{provider: postgres, url: postgres:hunter2, mode: ${PASSWORD}}", {}),
        ("{provider: ${PASSWORD}}", {}),
        ("{password: 'hunter2", {}),
        ("{password: !hunter2 }", {}),
        ("{password: *hunter2 }", {}),
        ("{password: @hunter2 }", {}),
        ("{password: %hunter2 }", {}),
        ('{password: "hunter2\\q" }', {}),
        ("{password:hunter2}", {}),
        ("{password: hunter2: x}", {}),
        ("hunter2", {}),
        ("[hunter2]", {}),
        ("{provider: postgres}", {"AETHERIUM__STORAGE__URL": "hunter2"}),
        ("{provider: postgres}", {"AETHERIUM__STORAGE__URL": "'hunter2\\q"}),
        ("{provider: postgres}", {"AETHERIUM__STORAGE__URL": "{hunter2"}),
        ("{provider: postgres}", {"AETHERIUM__STORAGE__POSTGRES": "{url: hunter2}"}),
        ("{}", {"AETHERIUM__STORAGE__PASWORD": "hunter2"}),
        ("{}", {"AETHERIUM__STORAGE": "hunter2"}),
    ],
)
def test_what_an_error_says(load_text: Load, storage: str, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_text(f"storage: {storage}", ENVIRON | environ)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.problems)
    assert PASSWORD not in shown


FORMS = (
    "storage: {provider: postgres, url: %s, pool: 5}",
    "storage: {provider: postgres, url: '%s', pool: 5}",
    'storage:\n  provider: postgres\n  postgres:\n    url: "%s"\n    pool: 5\n',
    "storage:\n  provider: postgres\n  url: %s\n  schema: refused\nserver:\n  port: 0\n",
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(FORMS),
    st.text("QZ", min_size=8, max_size=12),
    st.floats(0, 0.999),
    st.sampled_from(["cut", "drop", *"\"'\t{[]&*!|>%@`#"]),
)
def test_a_slip_of_the_pen_shows_no_secret(tmp_path: Path, form: str, secret: str, where: float, slip: str) -> None:
    text = form % secret
    at = int(where * len(text))
    ending = {"cut": "", "drop": text[at + 1 :]}.get(slip, slip + text[at:])
    file = tmp_path / "a.yaml"
    file.write_text(text[:at] + ending)
    try:
        said = dump(load(file, environ={}, registry=REGISTRY).config)
    except ConfigInvalid as error:
        said = str(error)
    assert not re.search("[QZ]{3}", said)


def test_a_value_that_lost_its_key_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("storage: {provider: postgres,& url: 'QQQQQQQQQQQQ', pool: 5}")
    with pytest.raises(ConfigInvalid) as caught:
        load(file, environ={}, registry=REGISTRY)
    assert "QQQ" not in str(caught.value)
