"""Providers as other people would bring them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from aetherium.app.config import Registry
from aetherium.model.config import LogFormat, Range
from aetherium.model.errors import InvalidArgument
from aetherium.model.secret import Secret


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    url: Secret
    pool: Annotated[int, Range(1, 100)] = 5
    ca: Path | None = None
    verify: bool = True
    timeout_s: float = 5.0
    schema: str = "public"
    mode: Literal["fast", "safe"] = "safe"

    def __post_init__(self) -> None:
        if not self.url.reveal().startswith("postgres"):
            raise ValueError(f"{self.url.reveal()} is no URL of a PostgreSQL server")
        if self.schema == "refused":
            raise InvalidArgument("this schema is\nnot allowed")
        if self.schema == "defect":
            raise RuntimeError("oops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqlite:
    file: str = "state.db"
    cache_mib: int | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    open_files: int = 1024
    user: str = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    binary: str = "bwrap"
    readonly: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Secret] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    profiles: Mapping[str, Limits] = field(default_factory=dict)
    color: Color = Color.RED
    either: int | tuple[str, ...] = 0
    uid: Literal["auto"] | int = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdout:
    format: LogFormat = LogFormat.TEXT
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    token: Secret | None = None
    app_id: int = 0


NOT_A_CLASS = 1


@dataclass(frozen=True)
class BadAnnotation:
    x: Nowhere  # type: ignore[name-defined]  # noqa: F821


def at(name: str) -> str:
    return f"{__name__}:{name}"


REGISTRY = Registry(
    {
        "vmm": {"bubblewrap": at("Bubblewrap"), "memory": None, "absent": "no_such_module_at_all:Config"},
        "storage": {
            "memory": None,
            "sqlite": at("Sqlite"),
            "postgres": at("Postgres"),
            "absent": "no_such_module_at_all:Config",
            "odd": at("NOT_A_CLASS"),
            "vague": at("BadAnnotation"),
        },
        "task_queue": {"memory": None, "sqlite": None},
        "event_bus": {"memory": None},
        "logging": {"stdout": at("Stdout"), "memory": None},
        "integrations": {"github": at("GitHub")},
    }
)
