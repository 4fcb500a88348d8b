"""What a type says about the values it is made of: which keys they have, which of them are secret."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from aetherium.model.secret import Secret


def fields_of(hint: Any) -> Mapping[str, Any] | None:
    """Return the names and types of the fields that a mapping for ``hint`` may have; None when it may have any."""
    found: dict[str, Any] = {}
    classes = [choice for choice in _choices(hint) if isinstance(choice, type) and is_dataclass(choice)]
    for one in classes:
        hints = get_type_hints(one, include_extras=True)
        found |= {each.name: hints[each.name] for each in fields(one) if each.init}
    return found if classes else None


def item_of(hint: Any) -> Any:
    """Return the type of the values in a list or mapping of type ``hint``; Any when it does not say."""
    for choice in _choices(hint):
        origin, arguments = get_origin(choice), get_args(choice)
        if arguments and isinstance(origin, type) and issubclass(origin, Collection):
            return arguments[-2] if arguments[-1] is Ellipsis else arguments[-1]
    return Any


def is_secret(hint: Any) -> bool:
    """Say whether a value of type ``hint`` may be a secret: ours, or the one of pydantic."""
    return any(
        choice is Secret or getattr(choice, "__name__", "") in ("SecretStr", "SecretBytes") for choice in _choices(hint)
    )


def _choices(hint: Any) -> Iterator[Any]:
    """Take Annotated, Optional and unions apart."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _choices(get_args(hint)[0])
    elif origin in (Union, UnionType):
        for choice in get_args(hint):
            yield from _choices(choice)
    else:
        yield hint
