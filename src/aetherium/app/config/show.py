"""The effective configuration, for people and programs. Secrets are masked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from aetherium.app.config.place import show_path
from aetherium.app.config.scalar import resolve
from aetherium.model.config import Config
from aetherium.model.secret import MASK, Secret

_OPTIONS = "options"
_PLAIN = re.compile(r"(?:[A-Za-z_/]|[0-9]+\.[0-9]+\.)(?:[A-Za-z0-9_./@+-]|:(?=[A-Za-z0-9_./@+-]))*\Z")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def as_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON can say it, sections of providers under their names."""
    shown = {}
    for section in fields(config):
        value = getattr(config, section.name)
        shown[section.name] = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        shown[section.name] |= shown[section.name].pop(_OPTIONS, {})
    return shown


def dump(config: Config, *, origins: Mapping[str, str] | None = None) -> str:
    """Return the configuration as YAML that loads as the same configuration, but for the secrets.

    With ``origins`` (those of a ``LoadedConfig``) each line says where its value was written.
    """
    lines: list[str] = []
    _block(as_dict(config), (), origins, lines)
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Secret) or type(value).__name__ in ("SecretStr", "SecretBytes"):
        return MASK
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, Collection) and not isinstance(value, bytes):
        return [_plain(item) for item in value]
    return str(value)


def _block(table: Mapping[str, Any], path: tuple[str, ...], origins: Mapping[str, str] | None, out: list[str]) -> None:
    for key, value in table.items():
        here = (*path, key)
        start = f"{'  ' * len(path)}{_key(key)}:"
        if isinstance(value, Mapping) and value:
            out.append(start)
            _block(value, here, origins, out)
        else:
            origin = "" if origins is None else f"  # {' '.join(origins.get(show_path(here), 'default').split())}"
            out.append(f"{start} {_flow(value)}{origin}")


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _key(key: str) -> str:
    """Return a key; keys are never expanded, so a ``$`` stays single."""
    return _quote(key) if resolve(key) != key or not _PLAIN.match(key) else key


def _text(text: str) -> str:
    return _quote(text.replace("$", "$$")) if resolve(text) != text or not _PLAIN.match(text) else text


def _quote(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
