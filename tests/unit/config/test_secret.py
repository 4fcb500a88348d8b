from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from aetherium.model.secret import MASK, Secret


@dataclass(frozen=True)
class Holder:
    password: Secret


def test_no_way_of_showing_a_secret_shows_its_text() -> None:
    secret = Secret("hunter2")
    holder = Holder(secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>12}", repr(holder), repr(asdict(holder))]
    assert all("hunter2" not in text for text in shown)
    assert str(secret) == MASK
    assert secret.reveal() == "hunter2"


def test_json_and_pickle_refuse_it() -> None:
    with pytest.raises(TypeError):
        json.dumps({"password": Secret("hunter2")})
    assert json.dumps({"password": Secret("hunter2")}, default=str) == f'{{"password": "{MASK}"}}'
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Holder(Secret("hunter2")))


def test_equality_is_of_the_text() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("\udcff") != Secret("ÿ")


def test_it_cannot_be_changed_and_copies_are_itself() -> None:
    secret = Secret("a")
    with pytest.raises(AttributeError):
        secret._text = "b"
    with pytest.raises(AttributeError):
        del secret._text
    assert copy.copy(secret) is secret
    assert copy.deepcopy(Holder(secret)).password is secret
